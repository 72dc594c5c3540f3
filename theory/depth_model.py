"""What the depth scripts share: a model with its windows, and its weights put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import neurosparse as ns
from neurosparse.measure import Perplexity, perplexity, protocol

TINY = "tiny"
"""A random Llama of four blocks with sharpened weights: that a script runs, and nothing else."""


@dataclass
class Measured:
    """A dense model and windows of the protocol.

    Attributes
    ----------
    calibration, selection, report
        int64 tensors of shape (windows, length).
    dtype
        Of matrix products; the model's own by default.
    """

    model: nn.Module
    calibration: torch.Tensor
    selection: torch.Tensor
    report: torch.Tensor
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        self.targets = ns.models.find_targets(self.model)
        self._dense = [ns.models.get_weight(self.model, t).clone() for t in self.targets]

    def restore(self) -> nn.Module:
        """The dense model again."""
        for target, weight in zip(self.targets, self._dense, strict=True):
            ns.models.set_weight(self.model, target, weight)
        return self.model

    def pruned(self, budget: Any, **options: Any) -> nn.Module:
        """The model pruned by the official procedure from its dense form."""
        self.restore()
        ns.pruning.prune(self.model, budget, self.calibration, dtype=self.dtype, **options)
        return self.model

    def perplexity(self, windows: torch.Tensor) -> Perplexity:
        """Of the model as it is now."""
        with ns.models.multiplying(self.model, self.dtype):
            return perplexity(self.model, windows, batch_size=2)


def measured(settings: dict[str, Any]) -> Measured:
    """The model that the settings name, with as many windows as they say.

    Setting ``products`` ``"auto"``: of bfloat16 where the processor has instructions for it.
    """
    torch.set_num_threads(int(settings["workers"]))
    counts = [int(settings[name]) for name in ("calibration", "selection", "report")]
    if settings["model"] == TINY:
        return _tiny(counts)
    loaded = ns.models.load(settings["model"])
    sides = [ns.models.windows(loaded.tokenizer, protocol.side(side), length=512)[:count]
             for side, count in zip(("calibration", "selection", "report"), counts, strict=True)]
    calibration, selection, report = sides
    return Measured(loaded.model, calibration, selection, report,
                    dtype=ns.models.products_of(loaded.model, str(settings.get("products", "own"))))


def _tiny(counts: list[int]) -> Measured:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=100, max_position_embeddings=64)).eval()
    model.requires_grad_(False)
    for target in ns.models.find_targets(model):
        ns.models.get_weight(model, target).mul_(4.0)
    model.lm_head.weight.mul_(20.0)
    generator = torch.Generator().manual_seed(1)
    calibration, selection, report = (torch.randint(0, 100, (count, 24), generator=generator)
                                      for count in counts)
    return Measured(model, calibration, selection, report)
