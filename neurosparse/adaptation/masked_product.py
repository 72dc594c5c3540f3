"""``y = x (W + s M o (B A))^T`` and its gradients, a tile of rows at a time.

The dense product B A and its gradient never exist as a whole: of each tile of rows the masked
update is added to the weight (``masked_tiles``), and one product with x gives both at once. So a
forward pass costs what the linear alone costs, and a backward pass twice that: the official form
multiplies x twice forward and keeps B A, its mask and its gradient for every linear.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from neurosparse.adaptation.masked_tiles import add_gradients, base_dtype, updated

# Numbers in a tile: 4 MB in float32 are still in a CPU's cache when they are multiplied; on a card
# a tile is a dozen launches, so most matrices should be one.
_TILE, _TILE_ON_CARD = 1 << 20, 1 << 26
_LEAST_ROWS = 64


class Rows(Protocol):
    """A weight of shape (out, in) with a mask, of which some rows are made when asked for."""

    shape: tuple[int, int]
    bits: Tensor
    dtype: torch.dtype  # in which it is stored

    def tile(self, first: int, last: int, dtype: torch.dtype) -> Tensor | None:
        """Rows ``first:last`` in ``dtype``; not to be written to. None: all zero."""
        ...


class DenseRows:
    """Rows of a dense weight.

    Parameters
    ----------
    weight : tensor of shape (out, in)
        Zero wherever the mask is.
    bits : uint8 tensor
        The mask, see ``masks.pack_bits``.
    """

    def __init__(self, weight: Tensor, bits: Tensor) -> None:
        self.weight, self.bits = weight, bits
        self.shape, self.dtype = (weight.shape[0], weight.shape[1]), weight.dtype

    def tile(self, first: int, last: int, dtype: torch.dtype) -> Tensor:
        """A view where the dtype is the weight's own."""
        return self.weight[first:last].to(dtype)


class NoRows:
    """A weight of zeros: the update alone, for inputs that dropout made different."""

    def __init__(self, shape: tuple[int, int], bits: Tensor) -> None:
        self.shape, self.bits, self.dtype = shape, bits, torch.float32

    def tile(self, first: int, last: int, dtype: torch.dtype) -> None:
        """Nothing to add."""
        return


def masked_linear(x: Tensor, rows: Rows, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """``x (W + scale * M o (b a))^T``.

    Parameters
    ----------
    x : floating tensor of shape (..., in)
    rows
        W and the mask M; W has no gradient.
    a : tensor of shape (rank, in)
    b : tensor of shape (out, rank)
    scale
        alpha / r.

    Returns
    -------
    tensor of shape (..., out), x.dtype (autocast's, where that is on)
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        x = x.to(torch.get_autocast_dtype(kind))
    flat = x.reshape(-1, x.shape[-1])
    with torch.autocast(kind, enabled=False):
        out: Tensor = _Masked.apply(flat, a, b, rows, scale)  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], rows.shape[0])


def masked_update(rows: Rows, a: Tensor, b: Tensor, scale: float, first: int, last: int
                  ) -> Tensor:
    """``scale * M o (b a)`` of some rows, tensor of shape (last - first, in), a's dtype."""
    return updated(None, rows.bits[first:last], a, b[first:last], scale, a.dtype)


def tiles(rows: Rows) -> list[tuple[int, int]]:
    """First and last row of each tile."""
    count, width = rows.shape
    numbers = _TILE if rows.bits.device.type == "cpu" else _TILE_ON_CARD
    height = max(numbers // max(width, 1), _LEAST_ROWS)
    return [(at, min(at + height, count)) for at in range(0, count, height)]


def effective(rows: Rows, a: Tensor, b: Tensor, scale: float, first: int, last: int,
              dtype: torch.dtype) -> Tensor:
    """Rows of ``W + scale * M o (b a)``: summed in a's dtype, then rounded as merging rounds."""
    base = rows.tile(first, last, base_dtype(rows.dtype, a))
    return updated(base, rows.bits[first:last], a, b[first:last], scale, dtype)


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, rows: Rows, scale: float) -> Tensor:
        ctx.save_for_backward(x, a, b)
        ctx.rows, ctx.scale = rows, scale
        parts = tiles(rows)
        if len(parts) == 1:  # nothing to put together
            return torch.mm(x, effective(rows, a, b, scale, *parts[0], x.dtype).T)
        out = x.new_empty((x.shape[0], rows.shape[0]))
        for first, last in parts:
            weight = effective(rows, a, b, scale, first, last, x.dtype)
            out[:, first:last] = torch.mm(x, weight.T)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, a, b = ctx.saved_tensors
        rows, scale = ctx.rows, ctx.scale
        back: Tensor | None = None
        learns = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        # In memory as the kernels want them; A and B may be views of what has more ranks.
        grad_a = a.new_zeros(a.shape) if learns else None
        grad_b = b.new_empty(b.shape) if learns else None
        for first, last in tiles(rows):
            part = grad[:, first:last]
            if ctx.needs_input_grad[0]:
                back = _added(back, part, effective(rows, a, b, scale, first, last, x.dtype))
            if grad_a is not None and grad_b is not None:
                inner = torch.mm(part.T, x)
                add_gradients(inner, rows.bits[first:last], a, b[first:last], scale, grad_a,
                              grad_b[first:last])
        if back is None and ctx.needs_input_grad[0]:
            back = torch.zeros_like(x)  # no rows at all
        return None if back is None else back.to(x.dtype), grad_a, grad_b, None, None


def _added(total: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """``total + left right``, in total's place."""
    if total is None:
        return torch.mm(left, right)
    if total.dtype in (torch.float32, torch.float64) and right.dtype == total.dtype:
        return total.addmm_(left, right)
    # Sixteen bits would lose with every tile that is added.
    return total.to(torch.float32).add_(torch.mm(left, right))
