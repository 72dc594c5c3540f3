"""Triton kernels: a tile of ``W + s M o (B A)``, and the gradients of A and B from the tile's own.

Both read the tile once. A program has a block of it in registers; the gradients' sums over columns
and rows go through one share a block, which torch adds: atomic additions would come in another
order every time. A block of the bitmap is read a byte for every eight lanes, from one cache line.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import triton
import triton.language as tl

from neurosparse.sparse.triton_tuning import Config, choose

# ``block`` is in bytes of the bitmap, eight columns each, as in the other kernels.
ADD = (Config(16, 16, 4), Config(8, 32, 4), Config(32, 16, 8), Config(4, 128, 4))
GRADIENTS = (Config(64, 8, 4), Config(64, 8, 8), Config(128, 8, 8), Config(32, 8, 4),
             Config(64, 4, 4))
LEAST_RANK = 16  # what a product of Triton's takes at least
_DECORATOR = {"do_not_specialize": ["height", "rank"],
              "do_not_specialize_on_alignment": ["bitmap"]}


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _kept(bitmap, row, column, there, width):  # type: ignore[no-untyped-def]
    """Whether a bit is set, (rows, columns)."""
    byte = tl.load(bitmap + row[:, None] * width + (column >> 3)[None, :], mask=there, other=0)
    return ((byte.to(tl.int32) >> (column & 7)[None, :]) & 1) != 0


@triton.jit(**_DECORATOR)  # type: ignore[untyped-decorator,unused-ignore]
def _add(out, base, bitmap, a, b, scale, height, cols, width, rank,  # type: ignore[no-untyped-def]
         BASED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """``out = base + scale * M o (b a)``; everything contiguous."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.program_id(1) * BLOCK * 8 + tl.arange(0, BLOCK * 8)
    there = (row < height)[:, None] & (column < cols)[None, :]
    at = row[:, None] * cols + column[None, :]
    total = tl.zeros((ROWS, BLOCK * 8), tl.float32)
    for k in range(rank):
        left = tl.load(b + row * rank + k, mask=row < height, other=0) * scale
        right = tl.load(a + k * cols + column, mask=column < cols, other=0)
        total += left[:, None] * right[None, :]
    total = tl.where(_kept(bitmap, row, column, there, width), total, 0.0)
    if BASED:
        total += tl.load(base + at, mask=there, other=0).to(tl.float32)
    tl.store(out + at, total, mask=there)


@triton.jit(**_DECORATOR)  # type: ignore[untyped-decorator,unused-ignore]
def _gradients(of_a, of_b, product, bitmap, a, b, height, cols, width, rank,  # type: ignore[no-untyped-def]
               ROWS: tl.constexpr, BLOCK: tl.constexpr, RANK: tl.constexpr):
    """Shares ``of_a`` [row blocks, rank, cols] and ``of_b`` [column blocks, height, rank]."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.program_id(1) * BLOCK * 8 + tl.arange(0, BLOCK * 8)
    there = (row < height)[:, None] & (column < cols)[None, :]
    part = tl.load(product + row[:, None] * cols + column[None, :], mask=there, other=0)
    part = tl.where(_kept(bitmap, row, column, there, width), part.to(tl.float32), 0.0)
    to_a = of_a + tl.program_id(0).to(tl.int64) * rank * cols
    to_b = of_b + tl.program_id(1).to(tl.int64) * height * rank
    for start in range(0, rank, RANK):
        k = start + tl.arange(0, RANK)
        along = (k < rank)[None, :] & (column < cols)[:, None]
        right = tl.load(a + k[None, :] * cols + column[:, None], mask=along, other=0)
        dots = tl.dot(part, right, input_precision="tf32x3")
        tl.store(to_b + row[:, None] * rank + k[None, :], dots,
                 mask=(row < height)[:, None] & (k < rank)[None, :])
        across = (k < rank)[:, None] & (row < height)[None, :]
        left = tl.load(b + row[None, :] * rank + k[:, None], mask=across, other=0)
        sums = tl.dot(left, part, input_precision="tf32x3")
        tl.store(to_a + k[:, None] * cols + column[None, :], sums,
                 mask=(k < rank)[:, None] & (column < cols)[None, :])


def add(base: torch.Tensor | None, bits: torch.Tensor, a: torch.Tensor, b: torch.Tensor,
        scale: float, dtype: torch.dtype, *, config: Config | None = None) -> torch.Tensor:
    """``base + scale * M o (b a)``, without waiting for the device.

    Parameters
    ----------
    base : tensor of shape (rows, cols), float32, float16 or bfloat16
        None: zeros.
    bits : uint8 tensor of shape (rows, 8 * ceil(cols / 64))
    a : float32 tensor of shape (rank, cols)
    b : float32 tensor of shape (rows, rank)
    dtype
        Of the result, one of the same.
    config
        How the work is divided; by default the fastest of a few, timed at the first call of a
        shape.

    Returns
    -------
    tensor of shape (rows, cols)
        Summed in float32 and rounded once.
    """
    height, cols, rank = b.shape[0], a.shape[1], a.shape[0]
    out = torch.empty((height, cols), dtype=dtype, device=a.device)
    if out.numel() == 0:
        return out
    right, left, bitmap = a.contiguous(), b.contiguous(), bits.contiguous()
    weight = out if base is None else base.contiguous()  # without a base not read

    def launch(chosen: Config) -> None:
        _add[(triton.cdiv(height, chosen.rows), triton.cdiv(cols, 8 * chosen.block))](
            out, weight, bitmap, right, left, scale, height, cols, bitmap.shape[1], rank,
            BASED=base is not None, ROWS=chosen.rows, BLOCK=chosen.block, num_warps=chosen.warps)

    launch(config or _chosen(("add", height, cols, rank, dtype, weight.dtype), ADD, launch, a))
    return out


def gradients(product: torch.Tensor, bits: torch.Tensor, a: torch.Tensor, b: torch.Tensor,
              scale: float, *, config: Config | None = None
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """``scale b^T (M o P)`` and ``scale (M o P) a^T``; the same bits in every run of one card.

    Parameters
    ----------
    product : tensor of shape (rows, cols), float32, float16 or bfloat16
        P; it is multiplied in float32.
    bits, a, b, config
        As in ``add``.

    Returns
    -------
    of_a : float32 tensor of shape (rank, cols)
    of_b : float32 tensor of shape (rows, rank)
        Of products as exact as float32: three of tf32 each.
    """
    height, cols, rank = b.shape[0], a.shape[1], a.shape[0]
    if height * cols * rank == 0:
        return torch.zeros_like(a), torch.zeros_like(b)
    right, left, bitmap = a.contiguous(), b.contiguous(), bits.contiguous()
    whole = product.contiguous()

    def made(chosen: Config) -> tuple[torch.Tensor, torch.Tensor]:
        grid = triton.cdiv(height, chosen.rows), triton.cdiv(cols, 8 * chosen.block)
        of_a, of_b = a.new_empty((grid[0], rank, cols)), a.new_empty((grid[1], height, rank))
        _gradients[grid](of_a, of_b, whole, bitmap, right, left, height, cols, bitmap.shape[1],
                         rank, ROWS=chosen.rows, BLOCK=chosen.block, RANK=LEAST_RANK,
                         num_warps=chosen.warps)
        return of_a.sum(0).mul_(scale), of_b.sum(0).mul_(scale)

    key = ("masked gradients", height, cols, rank, product.dtype)
    return made(config or _chosen(key, GRADIENTS, lambda config: (made(config), None)[1], a))


def _chosen(key: tuple[object, ...], configs: tuple[Config, ...],
            launch: Callable[[Config], None], on: torch.Tensor) -> Config:
    return choose(key, configs, launch, on.device)
