"""Masked adapters over modules, whatever model they are of."""

from __future__ import annotations

from collections.abc import Mapping

from peft import inject_adapter_in_model
from torch import nn

from neurosparse.adaptation.config import MaskedLoraConfig
from neurosparse.adaptation.layer import MaskedLora


def adapters_over(modules: Mapping[str, nn.Module], ranks: Mapping[str, int], *, scale: float,
                  dropout: float = 0.0) -> dict[str, MaskedLora]:
    """A ``MaskedLora`` over each module; the model that they are part of is not changed.

    PEFT sees a list of numbered modules and no model: of the models that it knows it takes some
    names for those of another version (``shared_expert.gate_proj`` for the fused experts).

    Parameters
    ----------
    modules
        Linears by name.
    ranks
        By the same names.
    scale, dropout
        alpha / r; on the update's input.
    """
    if not modules:
        return {}
    holder = nn.Module()
    for number, module in enumerate(modules.values()):
        holder.add_module(str(number), module)
    patterns = {f"^{number}$": ranks[name] for number, name in enumerate(modules)}
    inject_adapter_in_model(MaskedLoraConfig(
        r=1, lora_alpha=scale, lora_dropout=dropout,  # type: ignore[arg-type]
        target_modules=[str(number) for number in range(len(modules))], rank_pattern=patterns,
        alpha_pattern={pattern: scale * rank for pattern, rank in patterns.items()}), holder)
    found = [holder.get_submodule(str(number)) for number in range(len(modules))]
    return dict(zip(modules, found, strict=True))  # type: ignore[arg-type]
