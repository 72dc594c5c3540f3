"""Embedding and output head in int8, one scale a row: the part of a model that is never pruned.

In a small model the vocabulary is most of a packed file. Every row is rounded to
``scale * value`` with ``scale = max|w| / 127``, as packed int8 values are; nothing is dropped, so
that there is no bitmap. Tied models hold the rows once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from neurosparse.sparse.arithmetic import FEW_EXPANDED, version_of
from neurosparse.sparse.rows import runs_eagerly
from neurosparse.tiles import Tiles

# Rows of the vocabulary that are written out at a time where many tokens are multiplied.
_CHUNK = 4096
_MADE: Any = WeakTensorKeyDictionary()  # weight -> (what it was then, in tile order)


class _RoundedRows(nn.Module):
    """``weight`` (rows, cols), int8, and ``scales`` (rows,), float32, in a model of any dtype.

    The weight is a parameter without gradient, since transformers ties nothing else.

    dtype
        Of what comes out. ``.to(dtype)`` changes it, and leaves the buffers as they are stored.
    """

    weight: Tensor
    scales: Tensor
    dtype: torch.dtype

    def _hold(self, weight: Tensor, scales: Tensor, dtype: torch.dtype, *, own: bool = True
              ) -> None:
        self.dtype = dtype
        kept = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight, False)
        self.register_parameter("weight", kept)
        self.register_buffer("scales", scales, persistent=own)

    def to_dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The matrix, tensor of shape (rows, cols)."""
        return (self.weight.float() * self.scales[:, None]).to(dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _RoundedRows:
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.weight.device)).dtype
        held = {id(self.weight), id(self.scales)}

        def keep_dtype(tensor: Tensor) -> Tensor:
            if id(tensor) not in held:
                return fn(tensor)
            probe = fn(torch.empty(0, dtype=tensor.dtype, device=tensor.device))
            return fn(tensor) if probe.dtype == tensor.dtype else tensor.to(probe.device)

        super()._apply(keep_dtype, recurse)  # type: ignore[no-untyped-call]
        return self


class RoundedEmbedding(_RoundedRows, nn.Embedding):
    """An embedding that rounds its rows to int8.

    Parameters
    ----------
    weight : int8 tensor of shape (rows, cols)
    scales : float32 tensor of shape (rows,)
    dtype
        Of what comes out.
    factor
        What the dense embedding multiplies its rows by (Gemma).
    """

    def __init__(self, weight: Tensor, scales: Tensor, dtype: torch.dtype, factor: float = 1.0
                 ) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = weight.shape
        self.padding_idx = self.max_norm = None
        self.norm_type, self.scale_grad_by_freq, self.sparse = 2.0, False, False
        self.factor = factor
        self._hold(weight, scales, dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """``ids`` (...) to (..., cols)."""
        rows = (self.weight[ids].float() * self.scales[ids][..., None]).to(self.dtype)
        # The factor is rounded as the dense class rounds it.
        return rows if self.factor == 1.0 else rows * torch.tensor(self.factor, dtype=self.dtype)


class RoundedHead(_RoundedRows):
    """An output head that rounds its rows to int8.

    Few tokens on the CPU go through the compiled product in tile order; many multiply some
    thousand rows at a time, so that the dense head never exists. Where autograd or torch.compile
    watch it is the operator ``neurosparse::rounded_linear``. There is a gradient with respect to
    the input.

    Parameters
    ----------
    weight, scales, dtype
        As in ``RoundedEmbedding``.
    bias : tensor of shape (rows,), optional
    own
        The rows are this module's and not those of an embedding that it is tied to.
    """

    def __init__(self, weight: Tensor, scales: Tensor, dtype: torch.dtype,
                 bias: nn.Parameter | None = None, *, own: bool = True) -> None:
        super().__init__()
        self.own = own
        self.out_features, self.in_features = weight.shape
        self._hold(weight, scales, dtype, own=own)
        self.register_parameter("bias", bias)

    def tiles(self) -> Tiles:
        """The rows in tile order, made once."""
        return _tiles_of(self.weight, self.scales)

    def adopt(self, tiles: Tiles, of: Tensor) -> None:
        """Take what was made of the rows ``of`` before they came here; of others, do nothing."""
        if self.weight.data_ptr() == of.data_ptr() and self.weight.shape == of.shape:
            _MADE[self.weight] = ((of.data_ptr(), version_of(self.weight)), tiles)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., cols) to (..., rows), x.dtype."""
        flat = x.reshape(-1, self.in_features)
        if runs_eagerly(x, False):
            out = _product(flat, self.weight, self.scales)
        else:
            out = rounded_linear(flat, self.weight, self.scales)
        out = out.reshape(*x.shape[:-1], self.out_features)
        bias = self._parameters["bias"]
        return out if bias is None else out + bias.to(out.dtype)


def _tiles_of(weight: Tensor, scales: Tensor) -> Tiles:
    """Rows in tile order, made once of these very tensors as they are now."""
    now = (weight.data_ptr(), version_of(weight))
    made = _MADE.get(weight)
    if made is None or made[0] != now:
        made = (now, Tiles.from_dense(weight.detach().numpy(), "int8", scales.numpy()))
        _MADE[weight] = made
    tiles: Tiles = made[1]
    return tiles


def _product(x: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    """``x W^T``: few rows of x on the CPU in tile order, else by chunks of rows of W."""
    if len(x) <= FEW_EXPANDED and x.device.type == "cpu":
        floats = x.detach().float().contiguous().numpy()
        return torch.from_numpy(_tiles_of(weight, scales).matvec(floats)).to(x.dtype)
    out = x.new_empty(len(x), len(weight))
    for at in range(0, len(weight), _CHUNK):
        torch.matmul(x, _chunk(weight, scales, at, x.dtype).T, out=out[:, at : at + _CHUNK])
    return out


@torch.library.custom_op("neurosparse::rounded_linear", mutates_args=())
def rounded_linear(x: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    """``x @ W.T`` of int8 rows with their scales: x (n, cols) to (n, rows), x.dtype."""
    return _product(x, weight, scales)


@rounded_linear.register_fake
def _(x: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    return x.new_empty((x.shape[0], weight.shape[0]))


@torch.library.custom_op("neurosparse::rounded_linear_backward", mutates_args=())
def rounded_linear_backward(gradient: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    """``gradient @ W`` by chunks of rows of W: (n, rows) to (n, cols)."""
    out = gradient.new_zeros(len(gradient), weight.shape[1])
    for at in range(0, len(weight), _CHUNK):
        out += gradient[:, at : at + _CHUNK] @ _chunk(weight, scales, at, gradient.dtype)
    return out


@rounded_linear_backward.register_fake
def _(gradient: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    return gradient.new_empty((gradient.shape[0], weight.shape[1]))


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return rounded_linear_backward(gradient, *ctx.saved_tensors), None, None


rounded_linear.register_autograd(_backward, setup_context=_remember)


def _chunk(weight: Tensor, scales: Tensor, at: int, dtype: torch.dtype) -> Tensor:
    rows = slice(at, at + _CHUNK)
    return (weight[rows].float() * scales[rows, None]).to(dtype)
