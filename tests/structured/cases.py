"""Families that can be cut, and small helpers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from neurosparse.budgets import Budget, BudgetTarget, Rule, Total

DENSE = ["gemma2", "gemma3", "llama", "mistral", "phi3", "qwen2", "qwen3"]
MIXTURES = ["gpt_oss", "mixtral", "qwen3_moe"]

WAYS: list[tuple[str, dict[str, Any]]] = [
    *((family, {"heads": heads}) for family in [*DENSE, *MIXTURES]
      for heads in ("groups", "queries")),
    *((family, {"experts": True}) for family in MIXTURES),
]


def rates(*values: float, kind: Any = "sparsity", names: list[str] | None = None) -> Budget:
    """A budget of blocks; of counts where ``kind`` is another."""
    targets = [BudgetTarget(name=name, size=1, value=value) for name, value in
               zip(names or [f"block.{i}" for i in range(len(values))], values, strict=True)]
    mean = float(np.mean(values))
    return Budget(kind=kind, rule=Rule(name="hand"), total=Total(asked=mean, kept=mean),
                  targets=targets)


def logits(model: nn.Module, text: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(text).logits


def numbers(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
