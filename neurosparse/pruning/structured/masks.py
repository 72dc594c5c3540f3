"""Try a choice of heads, neurons and experts without cutting: the model is not copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.models.resize import check_kept, entries
from neurosparse.models.sites import Kept, Site
from neurosparse.models.weights import parameter_data
from neurosparse.pruning.structured.groups import Group, group_named


@contextmanager
def masked(model: nn.Module, groups: Sequence[Group], kept: Mapping[str, Kept]) -> Iterator[None]:
    """Inside the context the model answers as the cut one would.

    Inputs of ``o_proj`` and ``down_proj`` that belong to what goes are made zero on the way in.
    Of fused experts the columns of ``down_proj`` are made zero and put back at the end, and a
    router does not see the experts that go. Memory: a copy of those columns alone.

    Parameters
    ----------
    model
        Dense; unchanged, bit for bit, when the context ends.
    groups
        Of the model.
    kept
        For each site by name what stays; sites that are not named stay whole.

    Raises
    ------
    InputError
        A name or an index that does not fit the model.
    """
    with ExitStack() as stack:
        for name, indices in kept.items():
            site = group_named(groups, name).site
            check_kept(site, indices)
            if site.kind == "experts":
                stack.enter_context(_without_experts(model, site, indices["experts"]))
            elif site.experts is not None:
                stack.enter_context(_zeroed(model, site, indices["neurons"]))
            else:
                stack.enter_context(_hooked(model, site, indices))
        yield


def output_columns(site: Site, kept: Kept) -> Tensor:
    """Inputs of the output projection that stay, int64 of shape (kept,) or (experts, kept)."""
    name = site.output if site.experts is not None else f"{site.output}.weight"
    return entries([part for part in site.parts if part.parameter == name], kept)


@contextmanager
def _hooked(model: nn.Module, site: Site, kept: Kept) -> Iterator[None]:
    module = model.get_submodule(site.output)
    weight = module.get_parameter("weight")
    mask = torch.zeros(weight.shape[1], device=weight.device, dtype=weight.dtype)
    mask[output_columns(site, kept).to(weight.device)] = 1.0

    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * mask.to(args[0].dtype), *args[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _zeroed(model: nn.Module, site: Site, kept: Tensor) -> Iterator[None]:
    path, _, leaf = site.output.rpartition(".")
    data = parameter_data(model.get_submodule(path), leaf, f"mask {site.name}")
    dim = next(part.dim for part in site.parts if part.parameter == site.output)
    gone = torch.ones(len(data), data.shape[dim], dtype=torch.bool)
    gone[torch.arange(len(data))[:, None], kept] = False
    where = gone.to(data.device)
    columns = data.movedim(dim, 1)  # a view: (experts, neurons, other)
    before = columns[where].clone()
    try:
        columns[where] = 0.0
        yield
    finally:
        columns[where] = before


@contextmanager
def _without_experts(model: nn.Module, site: Site, kept: Tensor) -> Iterator[None]:
    assert site.router is not None
    router: Any = model.get_submodule(site.router)
    names = list(router._parameters)
    before = {name: router._parameters[name] for name in names}
    own = vars(router).get("forward")
    run: Callable[..., Any] = router.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        where = kept.to(before[names[0]].device)
        try:
            for name in names:
                router._parameters[name] = nn.Parameter(before[name].detach()[where],
                                                        requires_grad=False)
            logits, weights, chosen = run(*args, **kwargs)
        finally:
            router._parameters.update(before)
        return logits, weights, where[chosen]

    router.forward = forward
    try:
        yield
    finally:
        if own is None:
            del router.forward
        else:
            router.forward = own
