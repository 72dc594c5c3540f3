"""Where a block computes, and how to bring its inputs there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def device_of(module: nn.Module) -> torch.device:
    """The device that a module computes on.

    A module that accelerate has dispatched says it in its hook: its weights may be elsewhere, or
    on the meta device, until it runs.
    """
    for inner in module.modules():
        hook = getattr(inner, "_hf_hook", None)
        for part in getattr(hook, "hooks", [hook]):
            device = getattr(part, "execution_device", None)
            if device is not None:
                return torch.device(device)
    for parameter in module.parameters():
        if not parameter.is_meta:
            return parameter.device
    for buffer in module.buffers():
        if not buffer.is_meta:
            return buffer.device
    return torch.device("cpu")


def moved(value: Any, device: torch.device) -> Any:
    """``value`` with every tensor in it (tuples, lists, dicts below) on ``device``."""
    if isinstance(value, Tensor):
        return value if value.device == device else value.to(device)
    if isinstance(value, dict):
        return {key: moved(inner, device) for key, inner in value.items()}
    if type(value) in (tuple, list):
        return type(value)(moved(inner, device) for inner in value)
    return value


def settle(tensor: torch.Tensor) -> None:
    """Wait until a tensor's device has computed it."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
