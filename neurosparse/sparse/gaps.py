"""The order in which a GPU multiplies: every kept value with its distance from the one before.

A bitmap says for every weight whether it is there, and a product that reads it does work for every
weight. With four bits a value, how many columns lie between it and the one before it in its row,
the work goes with what is kept, and at 70 % the bytes are nearly the same: 0.75 a weight instead
of 0.725. Eight values and their eight gaps are a group, one load each of a lane; rows begin with a
group. Where more than 15 columns lie between, zeros that are stored bridge them, and a row's last
group is filled up with zeros: both multiply finite numbers by nothing. The order is made on the
card at a matrix's first product and lives beside the packed rows, which stay the ones that are
saved and expanded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from neurosparse.sparse.bits import unpack_bits

if TYPE_CHECKING:
    from neurosparse.sparse.arithmetic import Rows

GROUP = 8
FARTHEST = 16
"""Columns that one entry moves on at most."""
# Entries of a tile that is brought into this order at once; a few dozen bytes each.
_TILE = 1 << 24


@dataclass(frozen=True, eq=False)
class Gaps:
    """Rows as groups of values and gaps.

    values : tensor of shape (groups, 8)
        bfloat16, float16 or int8.
    gaps : int32 tensor of shape (groups,)
        Bits 4 k to 4 k + 3: columns between entry k and the entry before it, or the row's begin.
    offsets : int32 tensor of shape (rows + 1,)
        Where a row's groups begin.
    cols
        Columns of the matrix.
    """

    values: torch.Tensor
    gaps: torch.Tensor
    offsets: torch.Tensor
    cols: int

    @property
    def density(self) -> float:
        """Entries, those of the padding too, of all there could be."""
        return self.values.numel() / max((len(self.offsets) - 1) * self.cols, 1)

    @property
    def nbytes(self) -> int:
        """Bytes that a product reads."""
        return self.values.nbytes + self.gaps.nbytes + self.offsets.nbytes


def to_gaps(rows: Rows, first: int, last: int) -> Gaps:
    """Rows ``first:last`` in this order, on their device; waits for it.

    Values of two bytes or int8, with a scale a row or none: scales stay where they are.
    """
    height = max(_TILE // max(rows.cols, 1), 1)
    tiles = [_tile(rows, a, min(a + height, last)) for a in range(first, last, height)]
    values, gaps, counts = (list(part) for part in zip(*tiles, strict=True)) if tiles else (
        [], [], [])
    device = rows.values.device
    if not tiles:
        values = [torch.zeros((0, GROUP), dtype=rows.values.dtype, device=device)]
        gaps = [torch.zeros(0, dtype=torch.int32, device=device)]
    begin = torch.zeros(1, dtype=torch.int64, device=device)
    offsets = torch.cat([begin, *counts]).cumsum(0).to(torch.int32)
    return Gaps(torch.cat(values), torch.cat(gaps), offsets, rows.cols)


def _tile(rows: Rows, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Groups of values and of gaps, and how many groups every row has."""
    row, column = unpack_bits(rows.bitmap[first:last], rows.cols).nonzero(as_tuple=True)
    values = rows.values.detach()[int(rows.offsets[first]) : int(rows.offsets[last])]
    before = torch.full_like(column, -1)
    before[1:] = torch.where(row[1:] == row[:-1], column[:-1], -1)
    gap = column - before - 1
    bridges = gap // FARTHEST
    slots = torch.zeros(last - first, dtype=torch.int64, device=row.device)
    slots.index_add_(0, row, bridges + 1)
    groups = (slots + GROUP - 1) // GROUP
    # Where an entry goes: its place among all, moved by the padding of the rows before.
    moved = GROUP * (groups.cumsum(0) - groups) - (slots.cumsum(0) - slots)
    place = (bridges + 1).cumsum(0) - 1 + moved[row]
    count = GROUP * int(groups.sum())
    out = torch.zeros(count, dtype=values.dtype, device=values.device)
    out[place] = values
    nibbles = torch.zeros(count, dtype=torch.uint8, device=values.device)
    nibbles[_bridged(place, bridges)] = FARTHEST - 1
    nibbles[place] = (gap % FARTHEST).to(torch.uint8)
    packed = (nibbles[::2] | (nibbles[1::2] << 4)).view(torch.int32)
    return out.view(-1, GROUP), packed, groups


def _bridged(place: torch.Tensor, bridges: torch.Tensor) -> torch.Tensor:
    """Places of the bridges, which are those before the entry that they lead to."""
    far = bridges.nonzero()[:, 0]
    many = bridges[far]
    nth = torch.arange(int(many.sum()), device=place.device)
    nth -= (many.cumsum(0) - many).repeat_interleave(many)
    return place[far].repeat_interleave(many) - 1 - nth


def to_values(gaps: Gaps, bitmap: torch.Tensor, length: int) -> torch.Tensor:
    """The values that the order was made of, on their device; waits for it.

    Parameters
    ----------
    bitmap : uint8 tensor of shape (rows, bytes)
        Of the same rows: bridges and padding are where no bit is set.
    length
        Of the result: how many bits are set, and zeros after them.

    Returns
    -------
    tensor of shape (length,)
    """
    out = gaps.values.new_zeros(length)
    height, begin = max(_TILE // max(gaps.cols, 1), 1), 0
    for first in range(0, len(bitmap), height):
        bits = unpack_bits(bitmap[first : first + height], gaps.cols)
        row, column, values = _entries(gaps, first, min(first + height, len(bitmap)))
        inside = column < gaps.cols  # padding may go beyond
        own = values[inside & bits[row, torch.where(inside, column, 0)]]
        out[begin : begin + len(own)] = own
        begin += len(own)
    return out


def _entries(gaps: Gaps, first: int, last: int
             ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Row (from ``first``), column and value of all entries of rows, bridges and padding too."""
    offsets = gaps.offsets[first : last + 1].to(torch.int64)
    begin, end = int(offsets[0]), int(offsets[-1])
    shifts = torch.arange(0, 32, 4, device=offsets.device)
    steps = ((gaps.gaps[begin:end, None].to(torch.int64) >> shifts) & 15) + 1
    moved = steps.flatten().cumsum(0)
    counts = offsets[1:] - offsets[:-1]
    row = torch.arange(last - first, device=counts.device).repeat_interleave(counts)
    # A row's columns begin anew: less what all rows before it moved on.
    total = torch.cat([moved.new_zeros(1), moved.view(-1, GROUP)[:, -1]])
    row_begin = total[offsets[row] - begin]
    row, row_begin = row.repeat_interleave(GROUP), row_begin.repeat_interleave(GROUP)
    return row, moved - 1 - row_begin, gaps.values[begin:end].flatten()


def to_dense(gaps: Gaps) -> torch.Tensor:
    """The dense rows, float32 tensor without scales: what the order says, by torch's operators."""
    rows = len(gaps.offsets) - 1
    row, column, values = _entries(gaps, 0, rows)
    out = torch.zeros((rows, gaps.cols + GROUP), dtype=torch.float32, device=values.device)
    out[row, column] += values.to(torch.float32)
    return out[:, : gaps.cols]
