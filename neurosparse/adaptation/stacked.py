"""Masked low-rank updates of fused experts: one for every matrix of a stack.

A mixture keeps the weights of its experts in one parameter of shape (experts, ., .), and reads them
in ways of its own (a loop, a grouped product). So the update is not beside the product, as of a
linear, but in the weight: while the module runs, the name of its parameter stands for the stack
with all updates in it. Its gradient goes to A and B alone, a matrix at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.adaptation.inject import adapters_over
from neurosparse.adaptation.layer import MaskedLora
from neurosparse.adaptation.masked_product import tiles
from neurosparse.adaptation.masked_tiles import add_gradients
from neurosparse.models import Target, get_weight


class Stack:
    """Adapters of one parameter of a module of experts.

    Parameters
    ----------
    model
    targets
        Its experts, in order.
    rank, scale
        Of every update; alpha / r.

    Attributes
    ----------
    layers : dict
        ``MaskedLora`` over a view of each expert's matrix, by the target's name.
    """

    def __init__(self, model: nn.Module, targets: Sequence[Target], rank: int, scale: float
                 ) -> None:
        self.module = model.get_submodule(targets[0].module_name)
        self.name, self.transposed = targets[0].parameter, targets[0].transposed
        views = {target.name: _linear_over(get_weight(model, target)) for target in targets}
        self.layers: dict[str, MaskedLora] = adapters_over(
            views, dict.fromkeys(views, rank), scale=scale)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def attach(self) -> None:
        """From here on the module computes with the updates."""
        self._hooks = [self.module.register_forward_pre_hook(self._before),
                       self.module.register_forward_hook(self._after, always_call=True)]

    def detach(self) -> None:
        """It computes with the parameter as it is."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before(self, module: nn.Module, _args: Any) -> None:
        # An attribute of the instance is found before the parameter of the same name.
        module.__dict__[self.name] = self.merged()

    def _after(self, module: nn.Module, _args: Any, _output: Any) -> None:
        module.__dict__.pop(self.name, None)

    def merged(self) -> Tensor:
        """The stack with all updates, as the module stores it; differentiable by A and B."""
        layers = list(self.layers.values())
        factors = [factor for layer in layers for factor in layer.whole("default")]
        stack = self.module._parameters[self.name]
        assert stack is not None
        found: Tensor = _Merged.apply(  # type: ignore[no-untyped-call]
            stack.detach(), layers, self.transposed, *factors)
        return found


def _linear_over(weight: Tensor) -> nn.Linear:
    """A linear whose weight is this memory."""
    with torch.device("meta"):
        plain = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    plain.weight = nn.Parameter(weight, requires_grad=False)
    return plain


def stacks_of(model: nn.Module, targets: Sequence[Target], ranks: dict[str, int], scale: float
              ) -> list[Stack]:
    """One ``Stack`` for every parameter that the targets are experts of."""
    def owner(target: Target) -> tuple[str, str]:
        return target.module_name, target.parameter

    fused = [target for target in targets if target.expert is not None]
    groups = [list(group) for _, group in groupby(sorted(fused, key=owner), owner)]
    return [Stack(model, sorted(group, key=lambda one: one.expert or 0), ranks[group[0].name],
                  scale) for group in groups]


class _Merged(torch.autograd.Function):
    """``W_e + s M_e o (B_e A_e)`` of all experts e; nothing of that size is kept for backward."""

    @staticmethod
    def forward(ctx: Any, stack: Tensor, layers: list[MaskedLora], transposed: bool,
                *factors: Tensor) -> Tensor:
        ctx.save_for_backward(*factors)
        ctx.layers, ctx.transposed = layers, transposed
        out = torch.empty_like(stack)
        for matrix, layer in zip(out, layers, strict=True):
            layer.write_merged("default", matrix.T if transposed else matrix)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        found: list[Tensor] = []
        saved = ctx.saved_tensors
        for number, (layer, matrix) in enumerate(zip(ctx.layers, grad, strict=True)):
            whole = saved[2 * number : 2 * number + 2]
            found += _gradients(layer, matrix.T if ctx.transposed else matrix, *whole)
        return None, None, None, *found


def _gradients(layer: MaskedLora, grad: Tensor, whole_a: Tensor, whole_b: Tensor
               ) -> tuple[Tensor, Tensor]:
    """Of A and B, from the gradient (out, in) of one expert's weight."""
    of_a, of_b = torch.zeros_like(whole_a), torch.zeros_like(whole_b)
    if not bool(grad.any()):  # no token came to this expert
        return of_a, of_b
    rank, scale, rows = layer.rank["default"], layer.scaling["default"], layer.base_rows("default")
    a, b = whole_a[:rank], whole_b[:, :rank]
    part_a, part_b = a.new_zeros(a.shape), b.new_empty(b.shape)
    for first, last in tiles(rows):
        # add_gradients may write to it, and it is a view of what autograd still owns.
        product = grad[first:last].to(a.dtype, copy=True, memory_format=torch.contiguous_format)
        add_gradients(product, rows.bits[first:last], a, b[first:last], scale, part_a,
                      part_b[first:last])
    of_a[:rank], of_b[:, :rank] = part_a, part_b
    return of_a, of_b
