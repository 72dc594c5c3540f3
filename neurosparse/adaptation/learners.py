"""What learns: low-rank factors under the mask, or the kept weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from neurosparse.adaptation.inject import adapters_over
from neurosparse.adaptation.layer import MaskedLora
from neurosparse.adaptation.stacked import Stack, stacks_of
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
    """Masked LoRA on every linear and fused expert; the factors stay the same through all steps.

    Parameters
    ----------
    model, targets
        The model and its linears.
    rank
        The largest that any linear may use.
    scale, dropout, seed
        alpha / r; on the update's input (of linears: experts are updated in their weights); of A's
        initial values.
    """

    def __init__(self, model: nn.Module, targets: list[Target], rank: int, *, scale: float = 2.0,
                 dropout: float = 0.0, seed: int = 0) -> None:
        self.model, self.scale, self.dropout, self.seed = model, scale, dropout, seed
        self.targets = targets
        self.most = {one.name: min(rank, *one.shape) for one in targets}
        self.layers: dict[str, MaskedLora] = {}
        self.linears: dict[str, MaskedLora] = {}
        self.stacks: list[Stack] = []

    @torch.no_grad()
    def attach(self, masks: Masks) -> None:
        """Around the pruned weights: at first as new; later the weight less what B A says."""
        if not self.layers:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                self._make()
            for name, layer in self.layers.items():
                layer.set_mask(masks[name])
                for factors in (layer.lora_A, layer.lora_B):
                    # PEFT gives them the weight's dtype, in which AdamW's steps would be lost.
                    factors["default"].float()
        else:
            for name, layer in self.layers.items():
                layer.set_mask(masks[name])
                layer.add_to_weight("default", *layer.factors("default"), sign=-1.0)
        for name, layer in self.linears.items():
            _swap(self.model, name, layer)
        for stack in self.stacks:
            stack.attach()

    def _make(self) -> None:
        """Adapters around the linears, and beside the experts."""
        plain = {one.name: self.model.get_submodule(one.name) for one in self.targets
                 if one.expert is None}
        self.linears = adapters_over(plain, self.most, scale=self.scale, dropout=self.dropout)
        self.stacks = stacks_of(self.model, self.targets, self.most, self.scale)
        self.layers = dict(self.linears)
        for stack in self.stacks:
            self.layers |= stack.layers

    @torch.no_grad()
    def detach(self) -> None:
        """Merge, under the mask."""
        for layer in self.layers.values():
            layer.write_merged("default", layer.base_weight())
        for name, layer in self.linears.items():
            _swap(self.model, name, layer.get_base_layer())
        for stack in self.stacks:
            stack.detach()

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
        self.model, self.targets = model, targets
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._bits: dict[str, Tensor] = {}

    def attach(self, masks: Masks) -> None:
        """Hold the masks."""
        rows: dict[str, list[Tensor]] = {}
        for target in self.targets:  # experts of one stack follow each other
            mask = masks[target.name]
            bits = pack_bits(mask.T.contiguous() if target.transposed else mask)
            rows.setdefault(_path(target), []).append(bits)
        for path, parts in rows.items():
            parameter = self.model.get_parameter(path)
            parameter.requires_grad_(True)
            self._bits[path] = torch.cat(parts)
            hook: Any = parameter.register_hook
            self._hooks.append(hook(_Hold(self._bits[path])))

    def forget(self, state: Mapping[Tensor, Any]) -> None:
        """Take the moments of what is no longer kept away: they would move it from zero."""
        for path, bits in self._bits.items():
            for value in state.get(self.model.get_parameter(path), {}).values():
                if isinstance(value, Tensor) and value.ndim >= 2:
                    value.mul_(_ones(bits, value))

    def detach(self) -> None:
        """Let go."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None

    def parameters(self) -> list[nn.Parameter]:
        """Weights of the linears, stacks of the experts."""
        paths = dict.fromkeys(_path(target) for target in self.targets)
        return [self.model.get_parameter(path) for path in paths]


class _Hold:
    """Takes the gradient of what is not kept away."""

    def __init__(self, bits: Tensor) -> None:
        self.bits = bits

    def __call__(self, grad: Tensor) -> Tensor:
        return grad * _ones(self.bits, grad)


def _path(target: Target) -> str:
    """Of the parameter that holds the target."""
    return f"{target.module_name}.{target.parameter}"


def _ones(bits: Tensor, like: Tensor) -> Tensor:
    """The mask as numbers, in the shape of a weight or of a stack of them."""
    return mask_rows(bits, like.shape[-1], like.dtype).view_as(like)


def masks_of(model: nn.Module, targets: list[Target]) -> dict[str, Tensor]:
    """Masks of a model that was just pruned: what is not zero."""
    return {target.name: get_weight(model, target) != 0 for target in targets}


def _swap(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
