"""A tile of ``W + s M o (B A)`` and its gradient: compiled kernels, Triton, or torch's operators.

The kernels read a tile once for what takes torch five passes (the bits as numbers, the product,
the mask, the sum, the rounding) and never write the masked gradient. torch's operators do the rest
(float64, other devices) and are what the kernels are tested against: ``reference()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from neurosparse.low_rank import low_rank_add, low_rank_grad
from neurosparse.sparse import on_gpu
from neurosparse.sparse.bits import mask_rows

_HALVES = (torch.bfloat16, torch.float16)
_torch_alone = False


@contextmanager
def reference() -> Iterator[None]:
    """Torch's operators alone, for the whole process while the body runs."""
    global _torch_alone
    before, _torch_alone = _torch_alone, True
    try:
        yield
    finally:
        _torch_alone = before


def base_dtype(stored: torch.dtype, a: Tensor) -> torch.dtype:
    """In which dtype ``updated`` wants the rows of a weight that is stored in another."""
    if a.dtype != torch.float32 or _torch_alone:
        return a.dtype
    if _is_cpu(a):
        return stored if stored == torch.bfloat16 else a.dtype
    return stored if stored in _HALVES and on_gpu.usable(a.device) else a.dtype


def updated(base: Tensor | None, bits: Tensor, a: Tensor, b: Tensor, scale: float,
            dtype: torch.dtype) -> Tensor:
    """``base + scale * M o (b a)``, summed in a's dtype and rounded once.

    Parameters
    ----------
    base : tensor of shape (rows, columns)
        Of ``base_dtype``; None: zeros. It is not written to.
    bits : uint8 tensor
        Rows of the mask, see ``bits.pack_bits``.
    a : tensor of shape (rank, columns)
    b : tensor of shape (rows, rank)
    dtype
        Of the result.

    Returns
    -------
    tensor of shape (rows, columns), contiguous
    """
    if a.dtype == torch.float32 and not _torch_alone:
        if _is_cpu(a):
            return _add_on_cpu(base, bits, a, b, scale, dtype)
        if dtype in (*_HALVES, torch.float32) and on_gpu.usable(a.device):
            def call() -> Tensor:
                from neurosparse.adaptation.triton_masked import add

                return add(base, bits, a, b, scale, dtype)

            made = on_gpu.tried(call)
            if made is not None:
                return made
    update = torch.mm(b * scale, a)
    update.mul_(mask_rows(bits, a.shape[1], update.dtype))
    return (update if base is None else update.add_(base)).to(dtype)


def add_gradients(product: Tensor, bits: Tensor, a: Tensor, b: Tensor, scale: float,
                  grad_a: Tensor, grad_b: Tensor) -> None:
    """From the gradient P of a tile of the weight to those of A and B.

    Parameters
    ----------
    product : floating tensor of shape (rows, columns)
        P; may be written to.
    bits, a, b, scale
        As in ``updated``.
    grad_a : tensor of shape (rank, columns), contiguous
        ``scale b^T (M o P)`` is added to it.
    grad_b : tensor of shape (rows, rank), contiguous
        Becomes ``scale (M o P) a^T``.
    """
    if a.dtype == torch.float32 and not _torch_alone:
        if _is_cpu(a):
            product = product.to(a.dtype)
            low_rank_grad(_array(product), _array(a), _array(b), _array(bits), scale,
                          grad_a=_array(grad_a), grad_b=_array(grad_b))
            return
        if on_gpu.usable(a.device):
            def call() -> Tensor:
                from neurosparse.adaptation.triton_masked import gradients

                of_a, of_b = gradients(product, bits, a, b, scale)
                grad_b.copy_(of_b)
                return grad_a.add_(of_a)

            if on_gpu.tried(call) is not None:
                return
    product = product.to(a.dtype)
    product.mul_(mask_rows(bits, a.shape[1], product.dtype))
    grad_b.copy_(torch.mm(product, a.T).mul_(scale))
    grad_a.addmm_(b.T, product, alpha=scale)


def _is_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _array(tensor: Tensor) -> Any:
    """NumPy's view; a copy only where the strides are others."""
    plain = tensor.detach().contiguous()
    return (plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain).numpy()


def _add_on_cpu(base: Tensor | None, bits: Tensor, a: Tensor, b: Tensor, scale: float,
                dtype: torch.dtype) -> Tensor:
    own = dtype if dtype == torch.bfloat16 else torch.float32
    out = torch.empty((b.shape[0], a.shape[1]), dtype=own)
    low_rank_add(_array(a), _array(b), _array(bits), scale, out=_array(out),
                 base=None if base is None else _array(base))
    return out.to(dtype)
