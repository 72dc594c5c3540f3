"""The kernels of tile order in plain NumPy; see ``twin.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import twin

Array = NDArray[Any]

ROWS, COLS, STEP = 16, 4, 8
_LANE = {"fp32": 1, "bf16": 2, "fp16": 1, "int8": 4}


def words_of(cols: int) -> int:
    """Words of a group of rows: four columns each, a multiple of eight."""
    return -(-cols // (COLS * STEP)) * STEP


def tiled(matrix: Array, kind: str) -> Array:
    """Items in tile order, zeros beyond the matrix.

    Parameters
    ----------
    matrix : array of shape (rows, cols)

    Returns
    -------
    array of shape (groups, words, 64)
        Items of a word: [4 / lane][16 rows][lane].
    """
    lane, (rows, cols) = _LANE[kind], matrix.shape
    groups, words = -(-rows // ROWS), words_of(cols)
    whole = np.ascontiguousarray(matrix)
    if whole.shape != (groups * ROWS, words * COLS):
        whole = np.zeros((groups * ROWS, words * COLS), matrix.dtype)
        whole[:rows, :cols] = matrix
    # The items of a lane stay together: where they fill 32 bits they move as one.
    joined = lane * whole.itemsize == 4
    wide = whole.view(np.uint32) if joined else whole
    parts = wide.reshape(groups, ROWS, words, COLS // lane, 1 if joined else lane)
    items = np.ascontiguousarray(parts.transpose(0, 2, 3, 1, 4))
    return items.view(matrix.dtype).reshape(groups, words, 64)


def untiled(items: Array, kind: str, rows: int, cols: int) -> Array:
    """Undo ``tiled``: array of shape (rows, cols)."""
    lane, (groups, words, _) = _LANE[kind], items.shape
    parts = items.reshape(groups, words, COLS // lane, ROWS, lane).transpose(0, 3, 1, 2, 4)
    return np.ascontiguousarray(parts.reshape(groups * ROWS, words * COLS)[:rows, :cols])


def retile(values: Array, kind: str, bitmap: Array, offsets: Array, cols: int, masks: Array,
           tile_offsets: Array, tile_values: Array, sums: Array | None) -> None:
    """From row order to tile order."""
    rows = bitmap.shape[0]
    dense = np.empty((rows, cols), values.dtype)
    twin.expand(values, bitmap, offsets, 0, rows, dense)
    mask = np.empty((rows, cols), np.uint8)
    twin.unpack_mask(bitmap, mask)
    there = tiled(mask, kind) != 0
    masks[:] = np.packbits(there, axis=2, bitorder="little").view(np.uint64)[:, :, 0]
    tile_offsets[0] = 0
    np.cumsum(there.sum((1, 2)), out=tile_offsets[1:])
    tile_values[: tile_offsets[-1]] = tiled(dense, kind)[there]
    if sums is not None:
        sums[:] = dense.sum(1, dtype=np.int32)


def dense_of(values: Array, kind: str, masks: Array | None, offsets: Array, rows: int, cols: int
             ) -> Array:
    """The matrix, array of shape (rows, cols) of the values' type."""
    groups, words = -(-rows // ROWS), words_of(cols)
    if masks is None:
        return untiled(values[: groups * words * 64].reshape(groups, words, 64), kind, rows, cols)
    there = np.unpackbits(masks[:, :, None].view(np.uint8), axis=2, bitorder="little") != 0
    items = np.zeros((groups, words, 64), values.dtype)
    items[there] = values[: offsets[-1]]
    return untiled(items, kind, rows, cols)


def matvec(values: Array, kind: str, masks: Array | None, offsets: Array, scales: Array | None,
           rows: int, cols: int, x: Array, out: Array) -> None:
    """``out[b, r] = sum_j W[r, j] x[b, j]``, summed in float64."""
    dense = twin.to_float(dense_of(values, kind, masks, offsets, rows, cols), kind)
    with np.errstate(invalid="ignore"):  # an infinite x meets a zero
        found = x.astype(np.float64) @ dense.T.astype(np.float64)
    out[:] = found if scales is None else found * scales
