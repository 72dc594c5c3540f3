"""The blocks of ``weights`` as ``Tiles``; only for workers of our own environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import kernels
from neurosparse.tiles import Tiles
from peers.weights import PARTS, STEP, Weights

_GROUP = 16  # rows that stand together in tile order


def raw(floats: NDArray[np.float32], kind: str) -> NDArray[Any]:
    """A kind's own bits; what is dropped is zero."""
    if kind == "bf16":
        return (floats.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return floats


def matrix(weights: Weights, part: str, kind: str, packed: bool) -> Tiles:
    """One matrix of block 0."""
    integers = weights.integers(part, 0)
    rows, cols = integers.shape
    held = integers if kind == "int8" else raw(weights.floats(part, 0), kind)
    scales = (np.full(rows, 2.0 ** -weights.exponent(part), np.float32) if kind == "int8"
              else None)
    if not packed:
        return Tiles.from_dense(held, kind, scales)
    bitmap = kernels.pack_mask(integers != 0)
    values = kernels.pack_values(held, bitmap)
    return Tiles.from_rows(values, kind, bitmap, kernels.row_offsets(bitmap), scales, cols)


def moved(tiles: Tiles, rows: int) -> Tiles:
    """The same with its rows moved on, in memory of its own."""
    groups = rows // _GROUP % (len(tiles.offsets) - 1)
    items = int(tiles.offsets[groups])
    end = int(tiles.offsets[-1])
    values = np.concatenate([tiles.values[items:end], tiles.values[:items], tiles.values[end:]])
    counts = np.roll(np.diff(tiles.offsets), -groups)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    masks = None if tiles.masks is None else np.roll(tiles.masks, -groups, axis=0)
    scales, sums = (None if one is None else np.roll(one, -rows)
                    for one in (tiles.scales, tiles.sums))
    return Tiles(tiles.kind, tiles.shape, masks, offsets, values, scales, sums)


def block_tiles(weights: Weights, kind: str, packed: bool, block: int,
                first: dict[str, Tiles] | None = None) -> dict[str, Tiles]:
    """All matrices of a block; ``first``: those of block 0."""
    if first is None:
        return {part: matrix(weights, part, kind, packed) for part in PARTS}
    return {part: moved(first[part], STEP * block) for part in PARTS}
