"""Llama's small operators, each as one kernel: what ``torch.compile`` makes of norm, turn and gate.

Between two products of a step transformers runs some forty kernels of a few microseconds; on a
fast card they take as long as the products. Compiled they are ten. Both models of a comparison get
the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from card import Where
from transformers.models.llama import modeling_llama as llama


def _norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * wide.to(x.dtype)


def _gate(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.silu(gate) * up


@contextmanager
def fused(where: Where) -> Iterator[None]:
    """While it lasts every Llama model runs so; without a card the same functions as they are."""
    def compiled(function: Any) -> Any:
        return torch.compile(function, dynamic=False) if where.on_card else function

    norm, gate = compiled(_norm), compiled(_gate)
    kept = llama.LlamaRMSNorm.forward, llama.LlamaMLP.forward, llama.apply_rotary_pos_emb
    try:
        llama.LlamaRMSNorm.forward = lambda self, x: norm(x, self.weight, self.variance_epsilon)
        llama.LlamaMLP.forward = lambda self, x: self.down_proj(
            gate(self.gate_proj(x), self.up_proj(x)))
        llama.apply_rotary_pos_emb = compiled(llama.apply_rotary_pos_emb)
        yield
    finally:
        llama.LlamaRMSNorm.forward, llama.LlamaMLP.forward, llama.apply_rotary_pos_emb = kept
