"""Rounding that knows the inputs: GPTQ (Frantar et al. 2022, arXiv 2210.17323) under a mask.

The column-by-column walk of SparseGPT, with another thing done to a column: kept entries go to the
nearest whole number of steps, dropped entries to zero, and what a row loses by either moves on to
the columns that follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neurosparse.errors import InputError
from neurosparse.pruning.columns import walk_columns
from neurosparse.pruning.sparsegpt import inverse_factor

BITS = (4, 8)
_BLOCK = 128
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Rounded:
    """A weight as whole numbers and scales.

    Attributes
    ----------
    integers : int8 tensor of shape (out, in)
        In [-127, 127] for 8 bits, [-7, 7] for 4; zero where the mask is false.
    scales : float32 tensor of shape (out, groups)
        An entry is ``integer * scale`` of its row and group. At most 17 significant bits, so that
        the product is exact in float32.
    group
        Neighbouring columns that share a scale; the last group may have fewer.
    note
        None, or what was done otherwise: damping that had to grow, or no update at all.
    """

    integers: torch.Tensor
    scales: torch.Tensor
    group: int
    note: str | None = None

    def dense(self) -> torch.Tensor:
        """The rounded weight, float32 tensor of shape (out, in)."""
        steps = self.scales.repeat_interleave(self.group, dim=1)[:, : self.integers.shape[1]]
        return self.integers * steps


def round_weight(weight: torch.Tensor, keep: torch.Tensor, gram: torch.Tensor | None, *,
                 bits: int = 8, group: int | None = None, damping: float = 0.01,
                 by_importance: bool = True) -> Rounded:
    """Round the kept entries of a weight so that its outputs change little.

    Columns are walked over once; each is rounded and its error moved to the columns that follow,
    by the inverse of the inputs' Gram matrix (GPTQ, equations 2 and 3). Nothing stays in an entry
    that the mask drops: what moves into one is moved on when its column comes, as the value of a
    dropped weight is in SparseGPT.

    Scales are of the weight as it comes: ``max |w| / 127`` (8 bits) or ``/ 7`` over the kept
    entries of a row, or of a row's group. With 8 bits and one group the largest entry of a row
    stays the largest, so that ``sparse.pack(dense, values="int8")`` finds the very same scales and
    whole numbers again.

    Parameters
    ----------
    weight : floating tensor of shape (out, in)
    keep : bool tensor of shape (out, in)
        Entries that are there; what the others hold is taken as zero.
    gram : tensor of shape (in, in), or None
        ``X^T X`` of the inputs; None rounds to nearest.
    bits
        8 or 4.
    group
        Columns with a scale of their own; by default the whole row.
    damping
        Relative to the mean of the Gram matrix' diagonal; grows tenfold while it must.
    by_importance
        Walk over the columns by falling diagonal of the Gram matrix: those that matter most are
        rounded while most others can still make up for it.

    Raises
    ------
    InputError
        Shapes that do not fit, NaN or Inf in a kept entry, other bits, or a group below 1.
    """
    _check(weight, keep, gram, bits, group)
    columns = max(weight.shape[1], 1)
    size = columns if group is None else min(group, columns)
    limit = 2 ** (bits - 1) - 1
    dense = torch.where(keep, weight.detach().float(), 0.0)
    scales = _scales(dense, limit, size)
    grid = _Grid(dense, keep, scales, size, limit, pinned=bits == 8 and size == columns)
    note = None
    if gram is None or not dense.numel():
        return Rounded(grid.nearest(dense), scales, size)
    there = gram.to(dense.device).float()
    order = torch.arange(len(there), device=dense.device)
    if by_importance:
        order = torch.argsort(torch.diagonal(there), descending=True, stable=True)
    upper, share = inverse_factor(there[order][:, order].contiguous(), damping)
    if upper is None:
        note = (f"Gram matrix not positive definite at damping {share:g}: "
                "rounded to nearest, nothing updated")
        return Rounded(grid.nearest(dense), scales, size, note)
    if share != damping:
        note = f"damping {share:g} instead of {damping:g}"
    return Rounded(grid.walk(dense, upper, order), scales, size, note)


class _Grid:
    """The whole numbers that every entry may take."""

    def __init__(self, dense: torch.Tensor, keep: torch.Tensor, scales: torch.Tensor, size: int,
                 limit: int, *, pinned: bool) -> None:
        self._scales, self._size, self._limit = scales, size, limit
        self._keep = keep
        self._pins = _largest(dense, scales[:, 0] > _TINY) if pinned and dense.numel() else None

    def nearest(self, dense: torch.Tensor) -> torch.Tensor:
        """Every entry by itself, int8 tensor of shape (out, in)."""
        steps = self._scales.repeat_interleave(self._size, dim=1)[:, : dense.shape[1]]
        whole = (dense / torch.where(steps > 0, steps, 1.0)).round_()
        return whole.clamp_(-self._limit, self._limit).to(torch.int8) * self._keep

    def walk(self, dense: torch.Tensor, upper: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Column after column in that order, int8 tensor of shape (out, in)."""
        settle = _Round(self._keep.T[order].contiguous(), self._limit, self._pins, order.tolist(),
                        self._scales.T.contiguous(), self._size)
        walk_columns(dense.T[order].contiguous(), upper, settle, block=_BLOCK)
        integers = torch.empty_like(settle.integers)
        integers[order] = settle.integers
        return integers.T.contiguous()


class _Round:
    """Settles columns on the grid."""

    def __init__(self, keep: torch.Tensor, limit: int, pins: torch.Tensor | None,
                 order: list[int], scales: torch.Tensor, size: int) -> None:
        self._keep, self._limit, self._order = keep, limit, order
        self._scales, self._size = scales, size
        self._steps = torch.where(scales > 0, scales, 1.0)
        self._pins = pins
        self._pinned = set() if pins is None else set(pins.abs().sub(1).tolist())
        self.integers = torch.empty(keep.shape, dtype=torch.int8, device=keep.device)

    def block(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """Nothing is chosen by blocks."""

    def group(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """Nor by a few columns."""

    def column(self, row: torch.Tensor, error: torch.Tensor, at: int) -> None:
        """Kept entries to whole steps, the others to zero."""
        place = self._order[at]
        group = place // self._size
        whole = (row / self._steps[group]).round_().clamp_(-self._limit, self._limit)
        if self._pins is not None and place in self._pinned:
            here = self._pins.abs() == place + 1
            whole = torch.where(here, self._limit * self._pins.sign(), whole)
        whole *= self._keep[at]
        self.integers[at] = whole
        torch.addcmul(row, whole, self._scales[group], value=-1, out=error)
        row -= error


def _scales(dense: torch.Tensor, limit: int, size: int) -> torch.Tensor:
    """Of every row and group, tensor of shape (out, groups), rounded to 17 significant bits."""
    rows, columns = dense.shape
    padded = torch.nn.functional.pad(dense.abs(), (0, -columns % size))
    largest = padded.view(rows, -(-columns // size), size).amax(2)
    exact = (largest / limit).clamp_min(_TINY).contiguous()
    short = ((exact.view(torch.int32) + 0x40) & ~0x7F).view(torch.float32)
    return torch.where(largest > 0, short, 0.0)


def _largest(dense: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """Column of each row's largest entry plus one, with the entry's sign; 0 where there is none."""
    values = dense.gather(1, dense.abs().argmax(1, keepdim=True))
    place = dense.abs().argmax(1) + 1
    return place * values[:, 0].sign().to(place.dtype) * normal


def _check(weight: torch.Tensor, keep: torch.Tensor, gram: torch.Tensor | None, bits: int,
           group: int | None) -> None:
    fits = weight.ndim == 2 and weight.is_floating_point() and keep.shape == weight.shape
    if not fits or keep.dtype != torch.bool:
        raise InputError("round", found=f"a {weight.dtype} weight {tuple(weight.shape)}, a "
                         f"{keep.dtype} mask {tuple(keep.shape)}",
                         expected="a floating matrix and a bool mask of its shape")
    if gram is not None and gram.shape != (weight.shape[1], weight.shape[1]):
        raise InputError("round", found=f"a Gram matrix {tuple(gram.shape)}",
                         expected=f"({weight.shape[1]}, {weight.shape[1]})")
    if bits not in BITS or (group is not None and group < 1):
        raise InputError("round", found=f"bits={bits}, group={group}",
                         expected="8 or 4 bits, a group of at least 1 column")
    if not bool(torch.isfinite(weight.detach()[keep].float()).all()):
        raise InputError("round", found="NaN or infinite entries", expected="finite entries")
