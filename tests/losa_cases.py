"""A tiny sparse model, and windows to learn from."""

from __future__ import annotations

from typing import TypeVar

import torch
from tiny import tiny_model, tiny_text, tiny_tokenizer
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

import neurosparse as ns

Model = TypeVar("Model", bound=nn.Module)


def sparse_model(rate: float = 0.6, **options: int) -> nn.Module:
    """Random Llama with random zeros, always the same."""
    return _pruned(tiny_model(**options), rate)


def sparse_gpt2(rate: float = 0.5) -> GPT2LMHeadModel:
    """Random GPT-2, whose linears are ``Conv1D``, with random zeros, always the same."""
    torch.manual_seed(0)
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=100, n_positions=64,
                        bos_token_id=1, eos_token_id=2)
    return _pruned(GPT2LMHeadModel(config).eval().requires_grad_(False), rate)


def _pruned(model: Model, rate: float) -> Model:
    generator = torch.Generator().manual_seed(1)
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        weight[torch.rand(weight.shape, generator=generator) < rate] = 0.0
    return model


def tiny_windows(count: int = 40, length: int = 32) -> Tensor:
    """Windows of random words."""
    return ns.models.windows(tiny_tokenizer(), tiny_text(4000), length=length)[:count]


def zeros(model: nn.Module) -> dict[str, Tensor]:
    """Where each target is zero."""
    return {t.name: ns.models.get_weight(model, t) == 0 for t in ns.models.find_targets(model)}


def randomise(model: nn.Module, scale: float = 0.2) -> None:
    """Give all that learns other values."""
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(0, scale, generator=generator)
