"""The products as torch operators, so that autograd and torch.compile see them.

``neurosparse::bitmap_linear`` is one matrix; ``neurosparse::bitmap_grouped_linear`` is a matrix
for every expert, with the tokens sorted by expert. Both have a gradient with respect to x; packed
values do not learn.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch

from neurosparse.sparse.arithmetic import Rows, multiply, multiply_transposed


@torch.library.custom_op("neurosparse::bitmap_linear", mutates_args=())
def bitmap_linear(x: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
                  scales: torch.Tensor | None, offsets: torch.Tensor) -> torch.Tensor:
    """``x @ W.T`` of packed W: x (..., cols) to (..., rows), x.dtype."""
    rows = Rows.of(bitmap, values, scales, offsets, x.shape[-1])
    return multiply(x, rows, 0, bitmap.shape[0])


@bitmap_linear.register_fake
def _(x: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
      scales: torch.Tensor | None, offsets: torch.Tensor) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], bitmap.shape[0]))


@torch.library.custom_op("neurosparse::bitmap_linear_backward", mutates_args=())
def bitmap_linear_backward(grad: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
                           scales: torch.Tensor | None, offsets: torch.Tensor, cols: int
                           ) -> torch.Tensor:
    """``grad @ W`` of packed W: grad (..., rows) to (..., cols), grad.dtype."""
    rows = Rows.of(bitmap, values, scales, offsets, cols)
    flat = grad.reshape(-1, grad.shape[-1])
    out = multiply_transposed(flat, rows, 0, bitmap.shape[0])
    return out.reshape(*grad.shape[:-1], cols)


@bitmap_linear_backward.register_fake
def _(grad: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
      scales: torch.Tensor | None, offsets: torch.Tensor, cols: int) -> torch.Tensor:
    return grad.new_empty((*grad.shape[:-1], cols))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, bitmap, values, scales, offsets = inputs
    ctx.save_for_backward(bitmap, values, scales, offsets)
    ctx.cols = x.shape[-1]


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    bitmap, values, scales, offsets = ctx.saved_tensors
    return (bitmap_linear_backward(grad, bitmap, values, scales, offsets, ctx.cols),
            None, None, None, None)


bitmap_linear.register_autograd(_backward, setup_context=_remember)


@torch.library.custom_op("neurosparse::bitmap_grouped_linear", mutates_args=())
def bitmap_grouped_linear(x: torch.Tensor, ends: torch.Tensor, bitmap: torch.Tensor,
                          values: torch.Tensor, scales: torch.Tensor | None,
                          offsets: torch.Tensor) -> torch.Tensor:
    """``x[group] @ W[group].T`` for packed matrices below one another.

    Parameters
    ----------
    x : floating tensor of shape (tokens, cols), sorted by group
    ends : int64 tensor of shape (groups,)
        Where every group ends in x; rows after the last end give zeros.
    bitmap : uint8 tensor of shape (groups * out, bytes)

    Returns
    -------
    tensor of shape (tokens, out), x.dtype
    """
    rows = Rows.of(bitmap, values, scales, offsets, x.shape[-1])
    height = bitmap.shape[0] // ends.shape[0]
    out = x.new_zeros((x.shape[0], height))
    for group, (a, b) in enumerate(_groups(ends)):
        if a < b:
            out[a:b] = multiply(x[a:b], rows, group * height, (group + 1) * height)
    return out


@bitmap_grouped_linear.register_fake
def _(x: torch.Tensor, ends: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
      scales: torch.Tensor | None, offsets: torch.Tensor) -> torch.Tensor:
    return x.new_empty((x.shape[0], bitmap.shape[0] // ends.shape[0]))


@torch.library.custom_op("neurosparse::bitmap_grouped_linear_backward", mutates_args=())
def bitmap_grouped_linear_backward(
    grad: torch.Tensor, ends: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
    scales: torch.Tensor | None, offsets: torch.Tensor, cols: int
) -> torch.Tensor:
    """``grad[group] @ W[group]``: (tokens, out) to (tokens, cols), grad.dtype."""
    rows = Rows.of(bitmap, values, scales, offsets, cols)
    height = bitmap.shape[0] // ends.shape[0]
    out = grad.new_zeros((grad.shape[0], cols))
    for group, (a, b) in enumerate(_groups(ends)):
        if a < b:
            first = group * height
            out[a:b] = multiply_transposed(grad[a:b], rows, first, first + height)
    return out


@bitmap_grouped_linear_backward.register_fake
def _(grad: torch.Tensor, ends: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
      scales: torch.Tensor | None, offsets: torch.Tensor, cols: int) -> torch.Tensor:
    return grad.new_empty((grad.shape[0], cols))


def _groups(ends: torch.Tensor) -> list[tuple[int, int]]:
    marks = [0, *ends.tolist()]
    return list(itertools.pairwise(marks))


def _remember_groups(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, ends, bitmap, values, scales, offsets = inputs
    ctx.save_for_backward(ends, bitmap, values, scales, offsets)
    ctx.cols = x.shape[-1]


def _backward_groups(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    ends, bitmap, values, scales, offsets = ctx.saved_tensors
    out = bitmap_grouped_linear_backward(grad, ends, bitmap, values, scales, offsets, ctx.cols)
    return out, None, None, None, None, None


bitmap_grouped_linear.register_autograd(_backward_groups, setup_context=_remember_groups)
