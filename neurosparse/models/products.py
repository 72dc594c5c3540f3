"""In which type a machine multiplies matrices fastest without much loss."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from neurosparse.models.placement import device_of

PRODUCTS = ("auto", "own")


def products_of(model: nn.Module, products: str) -> torch.dtype | None:
    """``fast_products`` for ``"auto"``, the model's own (None) for ``"own"``."""
    return fast_products(model) if products == "auto" else None


def multiplying(module: nn.Module, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Around forward passes: matrix products in this type, the module's own for None.

    By autocast, which casts a weight once for all passes inside.
    """
    return nullcontext() if dtype is None else torch.autocast(device_of(module).type, dtype)


def fast_products(model: nn.Module) -> torch.dtype | None:
    """bfloat16 where the model's device has instructions for it and its weights are float32.

    Returns
    -------
    torch.dtype or None
        None: the model's own type is as good.
    """
    if next(model.parameters()).dtype != torch.float32:
        return None
    return fast_on(device_of(model))


def fast_on(device: torch.device) -> torch.dtype | None:
    """bfloat16 where this device multiplies it by instructions of its own; else None."""
    if device.type == "cpu":
        capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        capable = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if capable else None
