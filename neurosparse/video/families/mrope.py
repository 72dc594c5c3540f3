"""Positions in time, height and width that follow resized grids (M-RoPE)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurosparse.video.grids import Grid


def block_positions(grids: Sequence[Grid], ticks: Sequence[int], start: int) -> Tensor:
    """Positions of one block of units, as the models make them, with a grid for each unit.

    Parameters
    ----------
    grids
        Height and width of each unit.
    ticks
        Position in time of each, from 0.
    start
        Position of the first token of the block.

    Returns
    -------
    Tensor of shape (3, tokens)
        Time, height, width.

    References
    ----------
    Qwen2-VL (arXiv 2409.12191), section 2.1: ``get_vision_position_ids`` of transformers where
    all grids are equal.
    """
    parts = []
    for (height, width), tick in zip(grids, ticks, strict=True):
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        parts.append(torch.stack([torch.full_like(rows, tick), rows, columns]).reshape(3, -1))
    return torch.cat(parts, dim=1) + start


def sequence_positions(
    places: Tensor, blocks: Sequence[tuple[Sequence[Grid], Sequence[int]]]
) -> Tensor:
    """Positions of a whole sequence of text and blocks of units.

    After a block the text goes on at the block's first position plus the longest side of its
    grids, as in transformers.

    Parameters
    ----------
    places
        Which tokens are of units, shape (tokens,); each run of them is one block.
    blocks
        Grids and ticks of the blocks in order.

    Returns
    -------
    Tensor of shape (3, 1, tokens)
    """
    flags = places.tolist()
    parts: list[Tensor] = []
    todo = iter(blocks)
    here = index = 0
    while index < len(flags):
        end = index
        while end < len(flags) and flags[end] == flags[index]:
            end += 1
        if flags[index]:
            grids, ticks = next(todo)
            parts.append(block_positions(grids, ticks, here))
            here += max(max(grid) for grid in grids)
        else:
            parts.append((torch.arange(end - index) + here).expand(3, -1))
            here += end - index
        index = end
    return torch.cat(parts, dim=1).unsqueeze(1)
