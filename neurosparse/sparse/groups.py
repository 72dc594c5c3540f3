"""Whole numbers with a scale for every group of neighbouring columns of a row.

Four bits hold -8 to 7. A scale may be negative, so that the entry of largest size, whatever its
sign, can be -8: sixteen numbers are used and not fifteen.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from neurosparse.errors import InputError

RANGES = {8: (-127, 127), 4: (-8, 7)}
"""Whole numbers of so many bits."""
_TINY = torch.finfo(torch.float32).tiny
# What the entry of largest size may become, of which the one with the least squared error is taken.
# Beyond 8 that entry is cut, which pays where it stands alone. The whole numbers are there so that
# a group that lies on some grid already is found to do so, whatever its largest number.
_BECOMES = (-8.0, -8.5, -9.0, -9.5, -10.0, 7.0, 7.5, 8.0,
            -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
# Entries that are looked at in one go, so that they stay in cache.
_PART = 1 << 18


def group_scales(dense: torch.Tensor, bits: int, group: int,
                 importance: torch.Tensor | None = None) -> torch.Tensor:
    """A scale for every row and group, 0 for a group of zeros.

    8 bits: ``max |w| / 127``. 4 bits: of the scales under which the largest entry becomes -8 or 7,
    or is cut a little, the one with the least squared error; where all entries are whole numbers in
    [-8, 7] times one bfloat16 number, they are found again exactly.

    Parameters
    ----------
    dense : float32 tensor of shape (rows, cols), finite
    bits
        8 or 4.
    group
        Columns that share a scale; the last group of a row may have fewer.
    importance : tensor of shape (cols,), optional
        What the squared error of an entry counts, by its column (4 bits).

    Returns
    -------
    bfloat16 tensor of shape (rows, ceil(cols / group))
    """
    rows, cols = dense.shape
    spans = -(-cols // group)
    scales = torch.zeros(rows, spans, dtype=torch.bfloat16)
    counts = torch.ones(cols) if importance is None else importance.detach().to("cpu").float()
    weights = torch.nn.functional.pad(counts, (0, -cols % group)).view(spans, group)
    for first, last in _parts(rows, cols):
        padded = torch.nn.functional.pad(dense[first:last].float(), (0, -cols % group))
        parts = padded.view(last - first, spans, group)
        largest = parts.gather(2, parts.abs().argmax(2, keepdim=True))
        found = _short(largest.abs() / 127) if bits == 8 else _best(parts, largest, weights)
        scales[first:last] = torch.where(largest != 0, found, 0.0)[:, :, 0].to(torch.bfloat16)
    return scales


def grouped(dense: torch.Tensor, bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every entry to the nearest whole number of its group's steps.

    Returns
    -------
    integers : int8 tensor of shape (rows, cols)
    scales : bfloat16 tensor of shape (rows, groups)

    Raises
    ------
    InputError
        An entry is NaN or infinite.
    """
    exact = dense.to("cpu", torch.float32)
    if not bool(torch.isfinite(exact).all()):
        wrong = exact[~torch.isfinite(exact)][0].item()
        raise InputError("pack", found=f"the entry {wrong}", expected="finite entries")
    integers = torch.empty(exact.shape, dtype=torch.int8)
    scales = group_scales(exact, bits, group) if exact.shape[1] else torch.zeros(
        exact.shape[0], 0, dtype=torch.bfloat16)
    for first, last in _parts(*exact.shape):
        steps = spread(scales[first:last], group, exact.shape[1])
        integers[first:last] = nearest(exact[first:last], steps, bits)
    return integers, scales


def nearest(dense: torch.Tensor, steps: torch.Tensor, bits: int) -> torch.Tensor:
    """Whole numbers of steps, a floating tensor; 0 where a step is 0."""
    low, high = RANGES[bits]
    return (dense / torch.where(steps != 0, steps, 1.0)).round_().clamp_(low, high)


def spread(scales: torch.Tensor, group: int, cols: int) -> torch.Tensor:
    """Scale of every entry, float32 tensor of shape (rows, cols)."""
    return scales.float().repeat_interleave(group, dim=1)[:, :cols]


def _best(parts: torch.Tensor, largest: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    found = _short(largest / _BECOMES[0])
    least = torch.full_like(largest, torch.inf)
    size = torch.where(largest != 0, largest.abs(), 1.0)
    for becomes in _BECOMES:
        scale = _short(largest / becomes)
        error = (parts - nearest(parts, scale, 4) * scale).div_(size).square_()
        error = error.mul_(weights).sum(2, keepdim=True)
        better = error < least
        found, least = torch.where(better, scale, found), torch.where(better, error, least)
    return found


def _short(scale: torch.Tensor) -> torch.Tensor:
    """What bfloat16 holds, not below its smallest normal number: that would round coarsely."""
    short = scale.to(torch.bfloat16).float()
    return torch.where(short.abs() < _TINY, torch.full_like(short, _TINY).copysign_(scale), short)


def _parts(rows: int, cols: int) -> Iterator[tuple[int, int]]:
    height = max(_PART // max(cols, 1), 1)
    for first in range(0, rows, height):
        yield first, min(first + height, rows)
