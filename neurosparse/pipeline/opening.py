"""Open a model by its name, dense or packed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosparse import sparse
from neurosparse.files import size_of
from neurosparse.models import load, load_tokenizer
from neurosparse.models.loading import find_device


@dataclass(frozen=True)
class Opened:
    """A model with what belongs to it.

    Attributes
    ----------
    model, tokenizer
        Of transformers; the tokenizer is None where none was saved.
    name, description
        As asked for; ``"packed bf16"``, ``"GGUF Q4_1"``, ``"safetensors bfloat16"``.
    weights
        Bytes of the files of weights.
    packed
        Whether it came from a packed folder.
    """

    model: Any
    tokenizer: Any
    name: str
    description: str
    weights: int
    packed: bool


def open_model(name: str, *, dtype: str = "float32", device: str = "cpu", stream: bool = False
               ) -> Opened:
    """Open a packed folder (or an old ``sparse-bitmask`` one), or whatever ``models.load`` takes.

    Raises
    ------
    NeurosparseError
        As ``sparse.load`` or ``models.load``; no such device.
    """
    if not (sparse.is_packed(name) or sparse.is_bitmask(name)):
        loaded = load(name, dtype=dtype, device=device, stream=stream)
        source = loaded.source
        return Opened(loaded.model, loaded.tokenizer, name, source.description, source.bytes, False)
    find_device(f"load {name}", device)
    tokenizers: list[Any] = []
    model = sparse.load(name, dtype=dtype, device=device,
                        meanwhile=lambda: tokenizers.append(load_tokenizer(name)))
    weights = sum(size_of(file) for file in Path(name).glob("*.safetensors"))
    values = model.config.quantization_config.values
    return Opened(model, tokenizers[0], name, f"packed {values}", weights, True)
