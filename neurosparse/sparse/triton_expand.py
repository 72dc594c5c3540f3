"""Triton kernel: packed rows as a dense tile, for the matrix product of many rows of x."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from neurosparse.sparse.arithmetic import Rows
from neurosparse.sparse.triton_bits import bytes_of, columns_of, places_of
from neurosparse.sparse.triton_tuning import Config, choose

CONFIGS = (Config(2, 32, 1), Config(4, 32, 4), Config(1, 64, 1), Config(1, 128, 4))


@triton.jit(do_not_specialize=["first", "height"],  # type: ignore[untyped-decorator,unused-ignore]
            do_not_specialize_on_alignment=["bitmap"])
def _expand(out, bitmap, values, scales, offsets, first, height, cols, width,  # type: ignore[no-untyped-def]
            SCALED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """``out[r, c] = W[first + r, c]``; a lane writes the eight columns of its byte at once."""
    own = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = own < height
    row = (first + own).to(tl.int64)
    begin = values + tl.load(offsets + row, mask=inside, other=0)
    bits = bitmap + row * width
    place = tl.arange(0, BLOCK)
    into = out + own.to(tl.int64) * cols
    if SCALED:
        scale = tl.load(scales + row, mask=inside, other=0)[:, None]
    byte = bytes_of(bits, inside, place, width)
    for start in range(0, width, BLOCK):
        ahead = bytes_of(bits, inside, start + BLOCK + place, width)
        at, begin = places_of(begin, byte)
        dense = tl.reshape(columns_of(at, byte), (ROWS, BLOCK * 8))
        if SCALED:
            dense *= scale
        column = start * 8 + tl.arange(0, BLOCK * 8)
        tl.store(into[:, None] + column[None, :], dense,
                 mask=inside[:, None] & (column < cols)[None, :])
        byte = ahead


def expand(rows: Rows, first: int, last: int, dtype: torch.dtype, *, config: Config | None = None
           ) -> torch.Tensor:
    """Dense rows ``first:last``, without waiting for the device.

    Parameters
    ----------
    dtype
        float32, float16 or bfloat16.
    config
        How the work is divided; by default the fastest of a few, timed at the first call of a
        shape.

    Returns
    -------
    tensor of shape (last - first, cols)
        Each entry the stored value times its scale in float32, rounded to ``dtype``.
    """
    height = last - first
    out = torch.empty((height, rows.cols), dtype=dtype, device=rows.values.device)
    if out.numel() == 0:
        return out
    scales = rows.values if rows.scales is None else rows.scales  # without scales not read

    def launch(chosen: Config) -> None:
        _expand[(triton.cdiv(height, chosen.rows),)](
            out, rows.bitmap, rows.values, scales, rows.offsets, first, height, rows.cols,
            rows.bitmap.shape[1], SCALED=rows.scales is not None, ROWS=chosen.rows,
            BLOCK=chosen.block, num_warps=chosen.warps)

    if config is None:
        key = ("expand", height, rows.cols, dtype, rows.kind.name)
        config = choose(key, CONFIGS, launch, out.device)
    launch(config)
    return out
