"""Which weights a model has, cheaply."""

from __future__ import annotations

import hashlib
from typing import Any

import torch


def weights_digest(model: Any) -> str:
    """Twelve hex digits that change with a model's weights: of 64 entries of every parameter.

    Two models of one shape (a fine-tuned one and its base) must not share cached scores; nor two
    packed ones, whose weights are buffers.
    """
    found = hashlib.sha256()
    kept = {name: buffer for name, buffer in model.state_dict().items() if buffer.numel()}
    for name, parameter in sorted({**kept, **dict(model.named_parameters())}.items()):
        flat = parameter.detach().reshape(-1)
        # In whole numbers: float32 rounds the last place of a large parameter to one that is not.
        count = min(64, flat.numel())
        places = torch.arange(count) * (flat.numel() - 1) // max(count - 1, 1)
        some = flat[places.to(flat.device)].double().cpu().numpy()
        found.update(f"{name}{tuple(parameter.shape)}".encode() + some.tobytes())
    return found.hexdigest()[:12]
