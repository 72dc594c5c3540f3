"""The kernels in plain NumPy: what ``_core`` must compute, said as shortly as possible.

Selected with ``NEUROSPARSE_CPU_LEVEL=twin`` or ``kernels.using("twin")``, and used where the
extension is not built. ``kernels.py`` checks the arguments and allocates the outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.value_groups import group_of

Array = NDArray[Any]
Bitmap = NDArray[np.uint8]
Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]


def pack_mask(mask: Array, bitmap: Bitmap) -> None:
    """Bit j of a row is byte j // 8, bit j % 8."""
    packed = np.packbits(mask != 0, axis=1, bitorder="little")
    bitmap[:] = 0
    bitmap[:, : packed.shape[1]] = packed


def unpack_mask(bitmap: Bitmap, mask: Array) -> None:
    """Undo ``pack_mask``; the columns are those of ``mask``."""
    mask[:] = np.unpackbits(bitmap, axis=1, count=mask.shape[1], bitorder="little")


def row_offsets(bitmap: Bitmap, offsets: Offsets) -> None:
    """Write the running sum of set bits, from 0."""
    offsets[0] = 0
    np.cumsum(np.bitwise_count(bitmap).sum(axis=1, dtype=np.int64), out=offsets[1:])


def pack_values(weight: Array, bitmap: Bitmap, offsets: Offsets, values: Array) -> None:
    """Gather the weights under the mask in row-major order; zeros behind them."""
    values[: offsets[-1]] = weight[_mask(bitmap, weight.shape[1])]
    values[offsets[-1] :] = 0


def expand(
    values: Array, bitmap: Bitmap, offsets: Offsets, first: int, last: int, out: Array
) -> None:
    """Scatter the values of rows first:last back; zeros where a bit is clear."""
    out[:] = 0
    out[_mask(bitmap[first:last], out.shape[1])] = values[offsets[first] : offsets[last]]


def expand_float(
    values: Array, kind: str, bitmap: Bitmap, offsets: Offsets, scales: Array | None,
    first: int, last: int, out: Floats,
) -> None:  # fmt: skip
    """Do the same in float32, scaled by row or group; what is dropped is +0."""
    floats = to_float(values[offsets[first] : offsets[last]], kind)
    out[:] = 0
    out[_mask(bitmap[first:last], out.shape[1])] = floats
    if scales is not None and scales.ndim == 2:
        out *= spread_scales(scales[first:last], out.shape[1])
        out += np.float32(0)
    elif scales is not None:
        out *= scales[first:last, None]


def to_half(floats: Floats) -> NDArray[np.uint16]:
    """bfloat16 patterns, rounded to nearest even; NaN stays one."""
    bits = floats.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    nan = bits >> np.uint32(16) | np.uint32(64)
    return np.where(np.isnan(floats), nan, rounded).astype(np.uint16)


def spread_scales(scales: Array, cols: int) -> Floats:
    """Scale of every entry, array of shape (rows, cols), of bfloat16 patterns (rows, groups)."""
    group = group_of(cols, scales.shape[1])
    return np.repeat(to_float(scales, "bf16"), group, axis=1)[:, :cols]


def narrow(values: Array, stored: Array) -> None:
    """Two int4 values a byte, the lower half first."""
    halves = values.view(np.uint8) & np.uint8(15)
    stored[: -(-len(halves) // 2)] = halves[::2]
    stored[: len(halves) // 2] |= halves[1::2] << np.uint8(4)


def widen(stored: Array, first: int, last: int, out: Array) -> None:
    """Undo ``narrow`` for the values first:last."""
    both = stored[first // 2 : -(-last // 2)]
    halves = np.stack([both << np.uint8(4), both & np.uint8(240)], 1).reshape(-1)
    begin = first % 2
    out[: last - first] = halves.view(np.int8)[begin : begin + last - first] >> np.int8(4)


def to_float(values: Array, kind: str) -> Floats:
    """Values as float32, exactly: bf16 is the upper half of a float32."""
    if kind == "bf16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if kind == "fp16":
        return values.view(np.float16).astype(np.float32)
    return values.astype(np.float32)


def _mask(bitmap: Bitmap, cols: int) -> NDArray[np.bool_]:
    return np.unpackbits(bitmap, axis=1, count=cols, bitorder="little").view(np.bool_)
