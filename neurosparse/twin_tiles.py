"""The kernels of tile order in plain NumPy; see ``twin.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import twin

Array = NDArray[Any]

ROWS, COLS, STEP = 16, 4, 8
_LANE = {"fp32": 1, "bf16": 2, "fp16": 1, "int8": 4, "int4": 4}


def words_of(cols: int) -> int:
    """Words of a group of rows: four columns each, a multiple of eight."""
    return -(-cols // (COLS * STEP)) * STEP


def tiled(matrix: Array, kind: str, out: Array | None = None) -> Array:
    """Items in tile order, zeros beyond the matrix.

    Parameters
    ----------
    matrix : array of shape (rows, cols)
    out : array of shape (groups, words, 64) and the matrix's type, contiguous
        Allocated if not given.

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
    turned = parts.transpose(0, 2, 3, 1, 4)
    if out is None:
        out = np.empty((groups, words, 64), matrix.dtype)
    out.view(wide.dtype).reshape(turned.shape)[...] = turned
    return out


def untiled(items: Array, kind: str, rows: int, cols: int) -> Array:
    """Undo ``tiled``: array of shape (rows, cols)."""
    lane, (groups, words, _) = _LANE[kind], items.shape
    parts = items.reshape(groups, words, COLS // lane, ROWS, lane).transpose(0, 3, 1, 2, 4)
    return np.ascontiguousarray(parts.reshape(groups * ROWS, words * COLS)[:rows, :cols])


def retile(values: Array, kind: str, bitmap: Array, offsets: Array, cols: int, masks: Array,
           tile_offsets: Array, tile_values: Array, sums: Array | None,
           scales: Array | None = None) -> None:
    """From row order to tile order; with scales of groups, sums are of values times those."""
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
        sums[:] = row_sums(dense, scales)


def row_sums(dense: Array, scales: Array | None) -> Array:
    """Of whole numbers, int32; or float32 of whole numbers times the scales of their groups."""
    if scales is None:
        return np.asarray(dense.sum(1, dtype=np.int32))
    scale = twin.spread_scales(scales, dense.shape[1]).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # files may hold scales that are not finite
        return np.asarray((dense * scale).sum(1), np.float32)


def tiled_scales(scales: Array) -> Array:
    """Scales of groups, uint16 (rows, spans), by groups of rows: (groups, spans, 16)."""
    rows, spans = scales.shape
    groups = -(-rows // ROWS)
    whole = np.zeros((groups * ROWS, spans), scales.dtype)
    whole[:rows] = scales
    return np.ascontiguousarray(whole.reshape(groups, ROWS, spans).transpose(0, 2, 1))


def halve(masks: Array | None, groups: int, words: int, values: Array) -> tuple[Array, Array]:
    """int4 values from bytes to halves of bytes: those of even words below those of odd ones."""
    counts = (np.full((groups, words), 64) if masks is None
              else np.bitwise_count(masks).astype(np.int64))
    halved = np.zeros(groups + 1, np.int64)
    np.cumsum(np.maximum(counts[:, ::2].sum(1), counts[:, 1::2].sum(1)), out=halved[1:])
    out = np.zeros(int(halved[-1]) + 64, np.uint8)
    places = np.concatenate([[0], np.cumsum(counts.reshape(-1))])
    for group in range(groups):
        for odd in (0, 1):
            at = halved[group]
            for word in range(odd, words, 2):
                begin, end = places[group * words + word : group * words + word + 2]
                part = values[begin:end].view(np.uint8) & np.uint8(15)
                out[at : at + end - begin] |= part << np.uint8(4 * odd)
                at += end - begin
    return halved, out.view(np.int8)


def unhalve(values: Array, masks: Array | None, offsets: Array, groups: int, words: int) -> Array:
    """Undo ``halve``: the values of all groups and words, one a byte."""
    counts = (np.full((groups, words), 64) if masks is None
              else np.bitwise_count(masks).astype(np.int64))
    out = []
    for group in range(groups):
        at = [offsets[group], offsets[group]]
        for word in range(words):
            odd, count = word % 2, counts[group, word]
            both = values[at[odd] : at[odd] + count].view(np.uint8)
            out.append((both if odd else both << np.uint8(4)).view(np.int8) >> np.int8(4))
            at[odd] += count
    return np.concatenate(out) if out else np.zeros(0, np.int8)


def dense_of(values: Array, kind: str, masks: Array | None, offsets: Array, rows: int, cols: int
             ) -> Array:
    """The matrix, array of shape (rows, cols) of the values' type."""
    groups, words = -(-rows // ROWS), words_of(cols)
    if kind == "int4":
        values = unhalve(values, masks, offsets, groups, words)
        offsets = np.array([0, len(values)])
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
    if scales is not None and scales.ndim == 3:
        by_row = scales.transpose(0, 2, 1).reshape(len(scales) * ROWS, scales.shape[1])[:rows]
        dense *= twin.spread_scales(np.ascontiguousarray(by_row), cols)
        scales = None
    with np.errstate(invalid="ignore"):  # an infinite x meets a zero
        found = x.astype(np.float64) @ dense.T.astype(np.float64)
    out[:] = found if scales is None else found * scales
