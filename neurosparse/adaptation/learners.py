"""What learns: low-rank factors under the mask, or the kept weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from peft import inject_adapter_in_model
from torch import Tensor, nn

from neurosparse.adaptation.config import lora_config
from neurosparse.adaptation.layer import MaskedLora, adapters_of
from neurosparse.models import Target, get_weight
from neurosparse.sparse.bits import mask_rows, pack_bits

Masks = Mapping[str, Tensor]
"""Bool tensors of shape (out, in) by target: what is kept."""


class Learner(Protocol):
    """Puts itself on a sparse model, learns, and gives the plain model back."""

    def attach(self, masks: Masks) -> None:
        """The model's linears are plain and pruned; from here on they learn."""
        ...

    def detach(self) -> None:
        """The model's linears are plain again, with all that was learnt in their weights."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser changes; the same objects from the first ``attach`` on."""
        ...


class LowRank:
    """Masked LoRA on every linear; the factors stay the same through all steps.

    Parameters
    ----------
    model, targets
        The model and its linears (experts of a mixture are left as they are).
    rank
        The largest that any linear may use.
    scale, dropout, seed
        alpha / r; on the update's input; of A's initial values.
    """

    def __init__(self, model: nn.Module, targets: list[Target], rank: int, *, scale: float = 2.0,
                 dropout: float = 0.0, seed: int = 0) -> None:
        self.model, self.scale, self.dropout, self.seed = model, scale, dropout, seed
        self.targets = [one for one in targets if one.expert is None]
        self.most = {one.name: min(rank, *one.shape) for one in self.targets}
        self.layers: dict[str, MaskedLora] = {}

    @torch.no_grad()
    def attach(self, masks: Masks) -> None:
        """Around the pruned weights: at first as new; later the weight less what B A says."""
        if not self.layers:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                config = lora_config(self.model, scale=self.scale, dropout=self.dropout,
                                     ranks=self.most)
                config.target_modules = [one.name for one in self.targets]
                inject_adapter_in_model(config, self.model)
            self.layers = adapters_of(self.model)
            for name, layer in self.layers.items():
                layer.set_mask(masks[name])
                for factors in (layer.lora_A, layer.lora_B):
                    # PEFT gives them the weight's dtype, in which AdamW's steps would be lost.
                    factors["default"].float()
            return
        for name, layer in self.layers.items():
            layer.set_mask(masks[name])
            layer.add_to_weight("default", *layer.factors("default"), sign=-1.0)
            _swap(self.model, name, layer)

    @torch.no_grad()
    def detach(self) -> None:
        """Merge, under the mask."""
        for name, layer in self.layers.items():
            layer.write_merged("default", layer.base_weight())
            _swap(self.model, name, layer.get_base_layer())

    def parameters(self) -> list[nn.Parameter]:
        """A and B of every linear, in order."""
        return [factor for layer in self.layers.values() for factor in layer.whole("default")]

    def ranks(self) -> dict[str, int]:
        """Rank in use by linear."""
        return {name: layer.rank["default"] for name, layer in self.layers.items()}


class KeptValues:
    """The kept weights themselves: full tuning under a held mask.

    Memory of AdamW: twice the weights. Entries outside the mask have no gradient, so they stay
    zero with any optimiser that leaves alone what has none.
    """

    def __init__(self, model: nn.Module, targets: list[Target]) -> None:
        self.model = model
        self.targets = [one for one in targets if one.expert is None]
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._bits: dict[str, Tensor] = {}

    def attach(self, masks: Masks) -> None:
        """Hold the masks."""
        for target in self.targets:
            parameter = self._parameter(target)
            parameter.requires_grad_(True)
            mask = masks[target.name]
            bits = pack_bits(mask.T.contiguous() if target.transposed else mask)
            self._bits[target.name] = bits
            hook: Any = parameter.register_hook
            self._hooks.append(hook(_Hold(bits)))

    def forget(self, state: Mapping[Tensor, Any]) -> None:
        """Take the moments of what is no longer kept away: they would move it from zero."""
        for target in self.targets:
            for value in state.get(self._parameter(target), {}).values():
                if isinstance(value, Tensor) and value.ndim == 2:
                    value.mul_(mask_rows(self._bits[target.name], value.shape[1], value.dtype))

    def detach(self) -> None:
        """Let go."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None

    def parameters(self) -> list[nn.Parameter]:
        """Weights of the linears."""
        return [self._parameter(target) for target in self.targets]

    def _parameter(self, target: Target) -> nn.Parameter:
        return self.model.get_parameter(f"{target.module_name}.{target.parameter}")


class _Hold:
    """Takes the gradient of what is not kept away."""

    def __init__(self, bits: Tensor) -> None:
        self.bits = bits

    def __call__(self, grad: Tensor) -> Tensor:
        return grad * mask_rows(self.bits, grad.shape[1], grad.dtype)


def masks_of(model: nn.Module, targets: list[Target]) -> dict[str, Tensor]:
    """Masks of a model that was just pruned: what is not zero."""
    return {target.name: get_weight(model, target) != 0 for target in targets}


def _swap(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
