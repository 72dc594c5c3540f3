"""A writer of ``sparse-bitmask`` checkpoints, as compressed-tensors 0.9 wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

CONFIG = {"quant_method": "compressed-tensors", "version": "0.9.4", "sparsity_config": {
    "format": "sparse-bitmask", "global_sparsity": 0.6, "sparsity_structure": "unstructured",
    "targets": None, "ignore": None}}


def compress(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """The four tensors of one weight."""
    mask = weight != 0
    counts = mask.sum(-1)
    bits = np.packbits(mask.numpy(), axis=-1, bitorder="little")
    return {f"{name}.shape": torch.tensor(weight.shape), f"{name}.compressed": weight[mask],
            f"{name}.bitmask": torch.from_numpy(bits),
            f"{name}.row_offsets": torch.cumsum(counts, 0) - counts}


def write(model: Any, folder: Path, *, everything: bool = False, place: str = "quantization_config"
          ) -> Path:
    """Save a model; with ``everything`` embeddings, norms and head too, as the oldest did."""
    model.save_pretrained(folder)
    linears = {name for name, module in model.named_modules()
               if type(module).__name__ in ("Linear", "Conv1D") and name != "lm_head"}
    tied = set(getattr(model, "all_tied_weights_keys", {}))
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        owner = name.removesuffix(".weight")
        if name in tied:
            continue
        if owner != name and (everything or owner in linears):
            tensors |= compress(owner, tensor)
        else:
            tensors[name] = tensor.clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= CONFIG if place == "" else {place: CONFIG}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def dense(model: nn.Module, name: str) -> torch.Tensor:
    """A weight of the model that was written."""
    return model.get_submodule(name).get_parameter("weight")
