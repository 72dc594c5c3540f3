"""Triton kernels: packed rows times 1 to 16 vectors, the weights read once.

Bytes are what decoding waits for: at 70 % a bf16 weight takes 1/8 + 0.3 * 2 = 0.725 bytes instead
of 2, a ceiling of 2.76 over dense. Each value is loaded once for all right-hand sides, straight
into the lane that multiplies it (``triton_bits``), the next bytes of the bitmap are asked for
before this step's values are waited for, and sums stay in float32 registers until the row ends.

Two kernels. ``_by_sums`` multiplies in float32, exactly as the values and x are: any kind with any
dtype of x. ``_by_dot`` expands rows in registers and leaves the multiplication to tensor cores; it
runs where that loses nothing: x is 16-bit and every value is a number of x's dtype.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from neurosparse.errors import InputError
from neurosparse.sparse.arithmetic import Rows
from neurosparse.sparse.triton_bits import (
    added,
    bytes_of,
    columns_of,
    eighths,
    places_of,
    values_of,
)
from neurosparse.sparse.triton_tuning import Config, choose

MOST = 16
# A warp that has its rows to itself needs no barrier in the prefix sum; few and long rows want more
# warps. Lanes read neighbouring values, so a step is at least 32 bytes of the bitmap.
SUMS = (Config(2, 64, 1), Config(4, 32, 1), Config(1, 64, 1), Config(1, 128, 1), Config(8, 32, 4),
        Config(1, 128, 2))
DOTS = (Config(16, 32, 4), Config(32, 32, 4), Config(64, 32, 8), Config(16, 32, 8))
# From so many vectors on the multiply-adds of ``_by_sums`` outweigh the loads.
LEAST_DOT = 5
_EXACT = {torch.bfloat16: (torch.bfloat16, torch.int8), torch.float16: (torch.float16, torch.int8)}
_DECORATOR = {"do_not_specialize": ["first", "height", "count"],
              "do_not_specialize_on_alignment": ["bitmap"]}


@triton.jit(**_DECORATOR)  # type: ignore[untyped-decorator,unused-ignore]
def _by_sums(out, x, bitmap, values, scales, offsets, first, height, count, cols, width,  # type: ignore[no-untyped-def]
             SCALED: tl.constexpr, BATCH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """``out[n, r] = sum_c x[n, c] W[first + r, c]``; x and out contiguous."""
    own = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = own < height
    row = (first + own).to(tl.int64)
    begin = values + tl.load(offsets + row, mask=inside, other=0)
    bits = bitmap + row * width
    place, batch, eight = tl.arange(0, BLOCK), tl.arange(0, BATCH), tl.arange(0, 8)
    left = x + batch[:, None, None] * cols + eight[None, None, :]
    # x's axis first: where there are several warps, they share out the rows.
    total = tl.zeros((BATCH, ROWS, BLOCK), tl.float32)
    byte = bytes_of(bits, inside, place, width)
    for start in range(0, width, BLOCK):
        ahead = bytes_of(bits, inside, start + BLOCK + place, width)
        at, begin = places_of(begin, byte)
        v0, v1, v2, v3, v4, v5, v6, v7 = values_of(at, byte)
        column = (start + place)[None, :, None] * 8
        there = (batch < count)[:, None, None] & (column + eight[None, None, :] < cols)
        part = tl.load(left + column, mask=there, other=0).to(tl.float32)
        x0, x1, x2, x3, x4, x5, x6, x7 = eighths(part, BATCH, BLOCK)
        total = added(total, byte, v0, x0, 0)
        total = added(total, byte, v1, x1, 1)
        total = added(total, byte, v2, x2, 2)
        total = added(total, byte, v3, x3, 3)
        total = added(total, byte, v4, x4, 4)
        total = added(total, byte, v5, x5, 5)
        total = added(total, byte, v6, x6, 6)
        total = added(total, byte, v7, x7, 7)
        byte = ahead
    result = tl.sum(total, 2)
    if SCALED:
        result *= tl.load(scales + row, mask=inside, other=0)[None, :]
    tl.store(out + batch[:, None] * height + own[None, :], result,
             mask=(batch < count)[:, None] & inside[None, :])


@triton.jit(**_DECORATOR)  # type: ignore[untyped-decorator,unused-ignore]
def _by_dot(out, x, bitmap, values, scales, offsets, first, height, count, cols, width,  # type: ignore[no-untyped-def]
            SCALED: tl.constexpr, BATCH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
            FLOATS: tl.constexpr):
    """The same by tensor cores. FLOATS, for the interpreter: it has no bfloat16 product."""
    own = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = own < height
    row = (first + own).to(tl.int64)
    begin = values + tl.load(offsets + row, mask=inside, other=0)
    bits = bitmap + row * width
    place, batch = tl.arange(0, BLOCK), tl.arange(0, BATCH)
    total = tl.zeros((ROWS, BATCH), tl.float32)
    byte = bytes_of(bits, inside, place, width)
    for start in range(0, width, BLOCK):
        ahead = bytes_of(bits, inside, start + BLOCK + place, width)
        at, begin = places_of(begin, byte)
        rows = tl.reshape(columns_of(at, byte), (ROWS, BLOCK * 8))
        column = start * 8 + tl.arange(0, BLOCK * 8)
        there = (column < cols)[:, None] & (batch < count)[None, :]
        right = tl.load(x + column[:, None] + batch[None, :] * cols, mask=there, other=0)
        right = right.to(tl.float32) if FLOATS else right
        total = tl.dot(rows.to(right.dtype), right, total)
        byte = ahead
    if SCALED:
        total *= tl.load(scales + row, mask=inside, other=0)[:, None]
    tl.store(out + batch[None, :] * height + own[:, None], total,
             mask=inside[:, None] & (batch < count)[None, :])


def by_dot(x: torch.Tensor, rows: Rows) -> bool:
    """Whether ``matvec`` takes the tensor cores."""
    return x.shape[0] >= LEAST_DOT and rows.kind.dtype in _EXACT.get(x.dtype, ())


def matvec(x: torch.Tensor, rows: Rows, first: int, last: int, *, config: Config | None = None
           ) -> torch.Tensor:
    """``x @ W[first:last].T`` for up to sixteen rows of x, without waiting for the device.

    Parameters
    ----------
    x : tensor of shape (n, cols), 0 <= n <= 16
        bfloat16, float16 or float32, of any strides, on the device of the rows.
    first, last
        Rows of the bitmap.
    config
        How the work is divided; by default the fastest of a few, timed at the first call of a
        shape.

    Returns
    -------
    tensor of shape (n, last - first), x.dtype
        Products are exact and sums float32: before it is rounded to x's dtype an entry is off by
        at most ``(cols + 16) eps sum_c |x_c w_c|`` with float32's eps.

    Raises
    ------
    InputError
        More rows of x, or another dtype.
    """
    count, height = x.shape[0], last - first
    if count > MOST or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise InputError("multiply packed rows", found=f"{x.dtype} x of shape {tuple(x.shape)}",
                         expected=f"at most {MOST} rows of float32, float16 or bfloat16")
    out = x.new_empty((count, height))
    if out.numel() == 0:
        return out
    left, dot = x.contiguous(), by_dot(x, rows)
    batch = MOST if dot else triton.next_power_of_2(count)
    kernel, configs = (_by_dot, DOTS) if dot else (_by_sums, SUMS)
    options = {"FLOATS": x.device.type == "cpu"} if dot else {}
    scales = rows.values if rows.scales is None else rows.scales  # without scales not read

    def launch(chosen: Config) -> None:
        kernel[(triton.cdiv(height, chosen.rows),)](
            out, left, rows.bitmap, rows.values, scales, rows.offsets, first, height, count,
            rows.cols, rows.bitmap.shape[1], SCALED=rows.scales is not None, BATCH=batch,
            ROWS=chosen.rows, BLOCK=chosen.block, num_warps=chosen.warps, **options)

    if config is None:
        key = (dot, height, rows.cols, batch, x.dtype, rows.kind.name)
        config = choose(key, configs, launch, x.device)
    launch(config)
    return out
