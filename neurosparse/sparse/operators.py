"""The products as torch operators, so that autograd and torch.compile see them.

``neurosparse::bitmap_linear`` is one matrix; ``neurosparse::bitmap_grouped_linear`` is a matrix
for every expert, with the tokens sorted by expert. Both have a gradient with respect to x, and with
respect to the values where those ask for one: entries that are not stored have none, so that what
learns stays as sparse as it is.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch

from neurosparse.sparse.arithmetic import (
    Rows,
    gather_product,
    multiply,
    multiply_transposed,
)


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


@torch.library.custom_op("neurosparse::bitmap_linear_values", mutates_args=())
def bitmap_linear_values(grad: torch.Tensor, x: torch.Tensor, bitmap: torch.Tensor,
                         values: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """``grad.T @ x`` under the set bits: grad (..., rows), x (..., cols) to one like the values."""
    rows = Rows.of(bitmap, values, None, offsets, x.shape[-1])
    out = torch.zeros_like(values)
    gather_product(grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1]), rows, 0,
                   bitmap.shape[0], out)
    return out


@bitmap_linear_values.register_fake
def _(grad: torch.Tensor, x: torch.Tensor, bitmap: torch.Tensor, values: torch.Tensor,
      offsets: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(values)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, bitmap, values, scales, offsets = inputs
    learns = values.requires_grad
    ctx.save_for_backward(bitmap, values, scales, offsets, x if learns else None)
    ctx.cols = x.shape[-1]


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    bitmap, values, scales, offsets, x = ctx.saved_tensors
    back = None
    if ctx.needs_input_grad[0]:
        back = bitmap_linear_backward(grad, bitmap, values, scales, offsets, ctx.cols)
    learnt = None if x is None else bitmap_linear_values(grad, x, bitmap, values, offsets)
    return back, None, learnt, None, None


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
    return multiply_groups(x, ends, Rows.of(bitmap, values, scales, offsets, x.shape[-1]))


def multiply_groups(x: torch.Tensor, ends: torch.Tensor, rows: Rows) -> torch.Tensor:
    """The same without torch's dispatcher."""
    height = rows.bitmap.shape[0] // ends.shape[0]
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


@torch.library.custom_op("neurosparse::bitmap_grouped_linear_values", mutates_args=())
def bitmap_grouped_linear_values(
    grad: torch.Tensor, x: torch.Tensor, ends: torch.Tensor, bitmap: torch.Tensor,
    values: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """``grad[group].T @ x[group]`` under the set bits of every group: one like the values."""
    rows = Rows.of(bitmap, values, None, offsets, x.shape[-1])
    height = bitmap.shape[0] // ends.shape[0]
    out = torch.zeros_like(values)
    for group, (a, b) in enumerate(_groups(ends)):
        if a < b:
            first = group * height
            gather_product(grad[a:b], x[a:b], rows, first, first + height, out)
    return out


@bitmap_grouped_linear_values.register_fake
def _(grad: torch.Tensor, x: torch.Tensor, ends: torch.Tensor, bitmap: torch.Tensor,
      values: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(values)


def _groups(ends: torch.Tensor) -> list[tuple[int, int]]:
    marks = [0, *ends.tolist()]
    return list(itertools.pairwise(marks))


def _remember_groups(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, ends, bitmap, values, scales, offsets = inputs
    learns = values.requires_grad
    ctx.save_for_backward(ends, bitmap, values, scales, offsets, x if learns else None)
    ctx.cols = x.shape[-1]


def _backward_groups(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    ends, bitmap, values, scales, offsets, x = ctx.saved_tensors
    out = None
    if ctx.needs_input_grad[0]:
        out = bitmap_grouped_linear_backward(grad, ends, bitmap, values, scales, offsets, ctx.cols)
    learnt = None
    if x is not None:
        learnt = bitmap_grouped_linear_values(grad, x, ends, bitmap, values, offsets)
    return out, None, None, learnt, None, None


bitmap_grouped_linear.register_autograd(_backward_groups, setup_context=_remember_groups)
