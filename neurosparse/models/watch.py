"""See the inputs of every linear map while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurosparse.errors import ModelError
from neurosparse.models.linears import FusedExperts, fused_experts
from neurosparse.models.targets import Target
from neurosparse.models.weights import parameter_data

Callback = Callable[[Target, Tensor], None]


@contextmanager
def watch_inputs(
    model: nn.Module, targets: Iterable[Target], callback: Callback
) -> Iterator[None]:
    """Call ``callback(target, x)`` with the input of every target that runs inside the context.

    Parameters
    ----------
    model
        The model that the targets were found in.
    targets
        Those to watch.
    callback
        Gets the target and ``x`` [tokens, in], detached, on the device of the computation; not to
        be changed in place. Each expert of fused experts is reported once a call, and only if the
        router sent it tokens: ``gate_up_proj`` with the hidden states routed to it,
        ``down_proj`` with the gated activations that it makes of them.

    Raises
    ------
    ModelError
        (When the model runs) the experts are called in a way that is not understood.
    """
    linears: dict[str, Target] = {}
    experts: dict[str, dict[tuple[str, int], Target]] = {}
    for target in targets:
        if target.expert is None:
            linears[target.name] = target
        else:
            members = experts.setdefault(target.module_name, {})
            members[target.role, target.expert] = target
    handles = []
    try:
        for name, target in linears.items():
            handles.append(_hook(model.get_submodule(name), _linear_hook(target, callback)))
        for name, members in experts.items():
            handles.append(_hook(model.get_submodule(name), _experts_hook(members, callback)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(module: nn.Module, hook: Callable[..., None]) -> Any:
    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _linear_hook(target: Target, callback: Callback) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        value = args[0] if args else next(iter(kwargs.values()))
        callback(target, value.detach().reshape(-1, target.shape[1]))

    return hook


def _experts_hook(
    members: dict[tuple[str, int], Target], callback: Callback
) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        layout = fused_experts(module)
        if layout is None:
            raise _not_understood(module, "no fused weights")
        hidden, chosen = _routing(module, args, kwargs)
        with torch.no_grad():
            for expert in range(layout.count):
                tokens = (chosen == expert).any(dim=-1).nonzero().squeeze(-1)
                if tokens.numel():
                    _report(module, layout, members, callback, expert, hidden[tokens])

    return hook


def _report(
    module: nn.Module,
    layout: FusedExperts,
    members: dict[tuple[str, int], Target],
    callback: Callback,
    expert: int,
    routed: Tensor,
) -> None:
    first, second = members.get((layout.up, expert)), members.get((layout.down, expert))
    if first is not None:
        callback(first, routed)
    if second is not None:
        callback(second, _gated(module, layout, expert, routed))


def _routing(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Hidden states [tokens, width] and chosen experts [tokens, k] of one call."""
    given = [*args, *kwargs.values()]
    tensors = [value for value in given if isinstance(value, Tensor)]
    if len(tensors) < 2 or tensors[1].is_floating_point():
        raise _not_understood(module, "a call without the indices of the chosen experts")
    hidden = tensors[0].detach()
    hidden = hidden.reshape(-1, hidden.shape[-1])
    chosen = tensors[1].reshape(hidden.shape[0], -1)
    return hidden, chosen


def _gated(module: nn.Module, layout: FusedExperts, expert: int, routed: Tensor) -> Tensor:
    """act(gate) * up of one expert: the input of its ``down_proj`` [tokens, inner]."""
    operation = f"watch the experts of {type(module).__name__}"
    weight = parameter_data(module, layout.up, operation)[expert].to(routed.device)
    made = routed @ weight if layout.transposed else functional.linear(routed, weight)
    bias_name = f"{layout.up}_bias"
    if module._parameters.get(bias_name) is not None:
        made = made + parameter_data(module, bias_name, operation)[expert].to(routed.device)
    inner: Any = module
    if layout.up == "up_proj":
        activated: Tensor = inner.act_fn(made)
        return activated
    if hasattr(module, "_apply_gate"):
        activated = inner._apply_gate(made)
        return activated
    if not hasattr(module, "act_fn"):
        raise _not_understood(module, "no activation")
    gate, up = made.chunk(2, dim=-1)
    activated = inner.act_fn(gate) * up
    return activated


def _not_understood(module: nn.Module, found: str) -> ModelError:
    return ModelError(
        f"watch the experts of {type(module).__name__}", found=found,
        expected="forward(hidden_states, top_k_index, top_k_weights) on fused weights",
        mend="Exclude them: exclude=['*.experts.*'].",
    )
