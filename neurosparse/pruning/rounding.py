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
from neurosparse.sparse.groups import RANGES, group_scales, nearest, spread

BITS = (4, 8)
_BLOCK = 128
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Rounded:
    """A weight as whole numbers and scales.

    Attributes
    ----------
    integers : int8 tensor of shape (out, in)
        In [-127, 127] for 8 bits, [-8, 7] for 4; zero where the mask is false.
    scales : float32 tensor of shape (out, groups)
        An entry is ``integer * scale`` of its row and group. At most 17 significant bits, so that
        the product is exact in float32; numbers of bfloat16 where there is more than one group, or
        4 bits. With 4 bits a scale may be negative.
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
        # 0: what is dropped is +0 where a scale is negative, too.
        return self.integers * spread(self.scales, self.group, self.integers.shape[1]) + 0.0


def round_weight(weight: torch.Tensor, keep: torch.Tensor, gram: torch.Tensor | None, *,
                 bits: int = 8, group: int | None = None, damping: float = 0.01,
                 by_importance: bool = True) -> Rounded:
    """Round the kept entries of a weight so that its outputs change little.

    Columns are walked over once; each is rounded and its error moved to the columns that follow,
    by the inverse of the inputs' Gram matrix (GPTQ, equations 2 and 3). Nothing stays in an entry
    that the mask drops: what moves into one is moved on when its column comes, as the value of a
    dropped weight is in SparseGPT.

    Scales are of the weight as it comes, over the kept entries of a row, or of a row's group:
    ``max |w| / 127`` (8 bits), or what ``sparse.groups.group_scales`` chooses (4 bits), where an
    error counts as the diagonal of the Gram matrix says. With 8 bits the largest entry that shares
    a scale stays the largest, so that ``sparse.pack(dense, values="int8")`` finds the very same
    scales and whole numbers again; with 4 bits and a group of ``kernels.GROUPS``, ``values="int4"``
    finds numbers whose products are the same.

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
    dense = torch.where(keep, weight.detach().float(), 0.0)
    if bits == 8 and size == columns:
        scales = _row_scales(dense)
    else:
        importance = None if gram is None else torch.diagonal(gram)
        scales = group_scales(dense.cpu(), bits, size, importance).float().to(dense.device)
    grid = _Grid(dense, keep, scales, size, bits)
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
                 bits: int) -> None:
        self._scales, self._size, self._bits = scales, size, bits
        self._keep = keep
        self._pins = _largest(dense, scales, size) if bits == 8 and dense.numel() else None

    def nearest(self, dense: torch.Tensor) -> torch.Tensor:
        """Every entry by itself, int8 tensor of shape (out, in)."""
        steps = spread(self._scales, self._size, dense.shape[1])
        return nearest(dense, steps, self._bits).to(torch.int8) * self._keep

    def walk(self, dense: torch.Tensor, upper: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Column after column in that order, int8 tensor of shape (out, in)."""
        settle = _Round(self._keep.T[order].contiguous(), self._bits, self._pins, order.tolist(),
                        self._scales.T.contiguous(), self._size)
        walk_columns(dense.T[order].contiguous(), upper, settle, block=_BLOCK)
        integers = torch.empty_like(settle.integers)
        integers[order] = settle.integers
        return integers.T.contiguous()


class _Round:
    """Settles columns on the grid."""

    def __init__(self, keep: torch.Tensor, bits: int, pins: torch.Tensor | None,
                 order: list[int], scales: torch.Tensor, size: int) -> None:
        self._keep, self._bits, self._order = keep, bits, order
        self._scales, self._size = scales, size
        self._pins = pins
        self._pinned = set() if pins is None else set(pins.abs().sub(1).flatten().tolist())
        self.integers = torch.empty(keep.shape, dtype=torch.int8, device=keep.device)

    def block(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """Nothing is chosen by blocks."""

    def group(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """Nor by a few columns."""

    def gone(self) -> None:
        """Nothing goes: values move to their grid."""
        return

    def column(self, row: torch.Tensor, error: torch.Tensor, at: int) -> None:
        """Kept entries to whole steps, the others to zero."""
        place = self._order[at]
        group = place // self._size
        whole = nearest(row, self._scales[group], self._bits)
        if self._pins is not None and place in self._pinned:
            pins = self._pins[group]
            whole = torch.where(pins.abs() == place + 1, RANGES[8][1] * pins.sign(), whole)
        whole *= self._keep[at]
        self.integers[at] = whole
        torch.addcmul(row, whole, self._scales[group], value=-1, out=error)
        row -= error


def _row_scales(dense: torch.Tensor) -> torch.Tensor:
    """``max |w| / 127`` of every row, tensor of shape (out, 1), rounded to 17 significant bits."""
    if not dense.shape[1]:
        return dense.new_zeros(dense.shape[0], 0)
    largest = dense.abs().amax(1, keepdim=True)
    exact = (largest / RANGES[8][1]).clamp_min(_TINY).contiguous()
    short = ((exact.view(torch.int32) + 0x40) & ~0x7F).view(torch.float32)
    return torch.where(largest > 0, short, 0.0)


def _largest(dense: torch.Tensor, scales: torch.Tensor, size: int) -> torch.Tensor:
    """Column of the largest entry of each row and group plus one, with the entry's sign.

    Tensor of shape (groups, out); 0 where there is none, or it is too small for its scale.
    """
    rows, columns = dense.shape
    parts = torch.nn.functional.pad(dense, (0, -columns % size)).view(rows, -1, size)
    place = parts.abs().argmax(2, keepdim=True)
    sign = parts.gather(2, place)[:, :, 0].sign().long()
    first = torch.arange(parts.shape[1], device=dense.device) * size
    return ((place[:, :, 0] + first + 1) * sign * (scales > _TINY)).T.contiguous()


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
