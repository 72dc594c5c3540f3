"""In what a model that was cut is stored."""

from __future__ import annotations

from typing import Any

import torch

from neurosparse.models import ModelSource

_KINDS = {"float32": "fp32", "float16": "fp16"}


def kind_of_source(source: ModelSource) -> str:
    """The kind of values (``"bf16"``, ``"fp16"``, ``"fp32"``) in which a checkpoint is stored.

    Of a GGUF file ``"bf16"``, in which ``compress``, ``prune`` and ``pack`` store it too where
    nobody says: what it was before it was rounded.
    """
    if source.gguf_file is not None:
        return "bf16"
    return _KINDS.get(source.description.rpartition(" ")[2], "bf16")


@torch.no_grad()
def round_to(model: Any, dtype: torch.dtype) -> None:
    """Give the parameters the values that they will have when stored so; their dtype stays."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype).to(parameter.dtype)
