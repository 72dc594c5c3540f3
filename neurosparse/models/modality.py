"""What a model reads: token ids, or images (vision towers and classifiers)."""

from __future__ import annotations

from torch import Tensor, nn


def reads_images(model: nn.Module) -> bool:
    """Whether the model runs on images alone: ``pixel_values`` in, no token embedding."""
    if getattr(model, "main_input_name", "input_ids") != "pixel_values":
        return False
    getter = getattr(model, "get_input_embeddings", None)
    try:
        return not isinstance(getter() if getter is not None else None, nn.Embedding)
    except (AttributeError, NotImplementedError):
        return True


def predictions_of(inputs: Tensor) -> int:
    """Predictions that a model makes of these inputs: one a token, or one an image."""
    return len(inputs) if inputs.is_floating_point() else inputs.numel()
