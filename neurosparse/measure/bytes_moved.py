"""Bytes that one step of decoding reads from memory."""

from __future__ import annotations

from typing import Any

from torch import nn

from neurosparse.models.linears import fused_experts
from neurosparse.sparse import SparseExperts
from neurosparse.sparse.rows import PackedRows
from neurosparse.sparse.vocabulary import RoundedHead


def decode_bytes(model: nn.Module) -> dict[str, int]:
    """Bytes of weights that one step at batch 1 reads, as the model lies in memory.

    Every matrix is read once; of an embedding one row, unless it is tied to the head, which reads
    it whole; of the experts of a mixture the share that a token is sent to. What a token adds
    besides (activations, and the cache, which grows) is not among it.

    Returns
    -------
    dict
        ``packed`` (bitmaps, values and scales), ``head`` (the output embedding), ``dense`` (every
        other tensor), ``all``.
    """
    found = {"packed": 0, "head": 0, "dense": 0}
    chosen = _experts_chosen(model)
    head = _head(model)
    for module in model.modules():
        if isinstance(module, SparseExperts):
            share = min(chosen / module.num_experts, 1.0) if chosen else 1.0
            parts = (module.gate_up_proj, module.down_proj)
            found["packed"] += round(share * sum(part.packed().nbytes for part in parts))
        elif isinstance(module, PackedRows):
            if type(module) is not PackedRows:  # the parts of experts are counted above
                found["packed"] += module.packed().nbytes
                found["dense"] += _own_bytes(module)
        elif isinstance(module, nn.Embedding):
            found["dense"] += module.weight[:1].nbytes
        elif isinstance(module, RoundedHead):
            found["head"] += module.weight.nbytes + module.scales.nbytes
        elif module is head:
            found["head"] += _own_bytes(module)
        else:
            layout = fused_experts(module)
            share = min(chosen / layout.count, 1.0) if chosen and layout is not None else 1.0
            found["dense"] += round(share * _own_bytes(module))
    return {**found, "all": sum(found.values())}


def _own_bytes(module: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module._parameters.values()
               if parameter is not None)


def _head(model: Any) -> nn.Module | None:
    find = getattr(model, "get_output_embeddings", None)
    found: nn.Module | None = find() if find is not None else None
    return found


def _experts_chosen(model: Any) -> int:
    """How many experts a token is sent to; 0 where there are none."""
    config = getattr(model, "config", None)
    text = config.get_text_config() if config is not None else None
    return int(getattr(text, "num_experts_per_tok", 0) or 0)
