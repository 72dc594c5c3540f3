"""What the Triton kernels share: from the bits of a row to the places of its values.

A lane takes one byte of the bitmap, eight columns. Its values begin where those of the bytes before
it end, a prefix sum over the row's counts, and every set bit moves on by one. Neighbouring lanes so
read neighbouring values: a warp's 256 columns lie in two or three cache lines, whatever the mask.
A lane for every column would read fewer lines a load, but needs a population count a column, which
the hardware does at a quarter of its rate; a lane for 32 columns would touch six lines a load.

Two things that the compiled code showed (``triton.compile`` for sm_90 needs no card):

- Kernels must not know how the bitmap is aligned (``do_not_specialize_on_alignment``). If they do,
  the bytes are loaded four a lane, all that follows takes that layout, and every load of values
  passes through shared memory with a barrier.
- Values are loaded under clear bits too: what lies there is the next value or the padding, in the
  same line, and a load without a condition costs two instructions less. With pointers that
  move on, instead of offsets, a step is 13 to 15 instructions for 32 weights. Fewer would take two
  columns a load and byte permutations, which Triton has as inline assembly only.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def bytes_of(bitmap, inside, place, width):  # type: ignore[no-untyped-def]
    """Bytes ``place`` of rows that begin at ``bitmap``, int32 (rows, places); zero outside."""
    mask = inside[:, None] & (place < width)[None, :]
    found = tl.load(bitmap[:, None] + place[None, :], mask=mask, other=0,
                    eviction_policy="evict_first")
    return found.to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def places_of(begin, byte):  # type: ignore[no-untyped-def]
    """Where the values of every byte begin, and where those of the row's next step do: pointers."""
    pairs = byte - ((byte >> 1) & 0x55)
    fours = (pairs & 0x33) + ((pairs >> 2) & 0x33)
    ones = (fours + (fours >> 4)) & 0x0F
    return begin[:, None] + (tl.cumsum(ones, 1) - ones), begin + tl.sum(ones, 1)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def is_set(byte, J: tl.constexpr):  # type: ignore[no-untyped-def]
    """Whether bit J is set."""
    return (byte & (1 << J)) != 0


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def value_at(at, byte, J: tl.constexpr):  # type: ignore[no-untyped-def]
    """What lies at ``at``, the value of bit J if that is set, and where the next value lies."""
    return tl.load(at).to(tl.float32), tl.where(is_set(byte, J), at + 1, at)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def values_of(at, byte):  # type: ignore[no-untyped-def]
    """What ``value_at`` finds for the eight columns of every byte."""
    v0, at = value_at(at, byte, 0)
    v1, at = value_at(at, byte, 1)
    v2, at = value_at(at, byte, 2)
    v3, at = value_at(at, byte, 3)
    v4, at = value_at(at, byte, 4)
    v5, at = value_at(at, byte, 5)
    v6, at = value_at(at, byte, 6)
    v7, at = value_at(at, byte, 7)
    return v0, v1, v2, v3, v4, v5, v6, v7


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def columns_of(at, byte):  # type: ignore[no-untyped-def]
    """Expanded bytes (rows, places, 2, 2, 2): the columns in their order, clear bits zero.

    ``join`` puts its axis last, so the highest bit of the column is joined first.
    """
    v0, v1, v2, v3, v4, v5, v6, v7 = values_of(at, byte)
    v04 = tl.join(tl.where(is_set(byte, 0), v0, 0.0), tl.where(is_set(byte, 4), v4, 0.0))
    v26 = tl.join(tl.where(is_set(byte, 2), v2, 0.0), tl.where(is_set(byte, 6), v6, 0.0))
    v15 = tl.join(tl.where(is_set(byte, 1), v1, 0.0), tl.where(is_set(byte, 5), v5, 0.0))
    v37 = tl.join(tl.where(is_set(byte, 3), v3, 0.0), tl.where(is_set(byte, 7), v7, 0.0))
    return tl.join(tl.join(v04, v26), tl.join(v15, v37))


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def eighths(part, BATCH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """(BATCH, BLOCK, 8) as eight of (BATCH, BLOCK); ``split`` takes the lowest bit first."""
    even, odd = tl.split(tl.reshape(part, (BATCH, BLOCK, 2, 2, 2)))
    x04, x26 = tl.split(even)
    x15, x37 = tl.split(odd)
    x0, x4 = tl.split(x04)
    x2, x6 = tl.split(x26)
    x1, x5 = tl.split(x15)
    x3, x7 = tl.split(x37)
    return x0, x1, x2, x3, x4, x5, x6, x7


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def added(total, byte, value, x, J: tl.constexpr):  # type: ignore[no-untyped-def]
    """``total + value x`` where bit J is set: one multiply-add under a condition."""
    return tl.where(is_set(byte, J)[None, :, :], total + value[None, :, :] * x[:, None, :], total)
