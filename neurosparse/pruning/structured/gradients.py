"""Damage of every head and neuron from backward passes through gates (no weight gradients)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurosparse.models.sites import Site
from neurosparse.progress import Progress, silent


def gate_scores(model: nn.Module, tokens: Tensor, sites: Sequence[Site], method: str, *,
                progress: Progress = silent) -> dict[str, Tensor]:
    """Importance of every head and neuron by the derivative of the log-likelihood.

    A gate, 1 in the model as it is, multiplies each head or neuron before the output projection;
    the derivative with respect to it is ``sum g * w`` over the projection's columns.

    ``taylor``
        ``|E dL/dgate|``, L the mean negative log-likelihood of a token: first order in what is
        taken away (arXiv 1906.10771, equation 8, with its sign kept until the end).
    ``fisher``
        ``E (dL_w/dgate)^2 / (2 T)``, L_w the sum over a window of T tokens: the second-order term
        of the KL divergence a token, in nats, with the empirical Fisher information in place of
        the true one. An estimate.

    Parameters
    ----------
    tokens : int64 tensor of shape (windows, length)
        One backward pass a window.
    sites
        Whose members to look at.

    Returns
    -------
    scores : dict from the name of a site to a float64 tensor of shape (heads,), (neurons,),
        (experts, neurons) or (experts,)
    """
    device = model.get_input_embeddings().weight.device  # type: ignore[operator]
    total: dict[str, Tensor] = {}
    for number, window in enumerate(tokens):
        with gates(model, sites) as read:
            logits = model(input_ids=window[None].to(device), use_cache=False).logits[0, :-1]
            loss = functional.cross_entropy(logits.float(), window[1:].to(logits.device),
                                            reduction="sum")
            found = read(loss)
        for name, value in found.items():
            # (sum over the window)^2 / (2 T), or sum / T.
            value = value.square() / 2 if method == "fisher" else value
            total[name] = total.get(name, 0.0) + value / (len(window) - 1) / len(tokens)
        progress("damage", number + 1, len(tokens))
    return {name: value.abs() for name, value in total.items()}


@contextmanager
def gates(model: nn.Module, sites: Sequence[Site]) -> Iterator[Any]:
    """Gates on all sites inside the context; yields ``read(loss)``, the derivatives by site."""
    leaves: dict[str, Tensor] = {}
    handles, flags = [], []
    for site in sites:
        if site.experts is None and site.kind != "experts":
            weight = model.get_submodule(site.output).get_parameter("weight")
            gate = torch.ones(site.lengths[site.kind], device=weight.device, requires_grad=True)
            leaves[site.name] = gate
            handles.append(model.get_submodule(site.output).register_forward_pre_hook(
                _Gate(gate, site.head_dim)))
        else:  # a gate cannot get inside fused experts; their weight's own gradient says the same
            weight = model.get_parameter(site.output)
            flags.append((weight, weight.requires_grad))
            leaves[site.name] = weight.requires_grad_(True)

    def read(loss: Tensor) -> dict[str, Tensor]:
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {site.name: _derivative(model, site, grad)
                for site, grad in zip(sites, found, strict=True)}

    try:
        with torch.enable_grad():
            yield read
    finally:
        for handle in handles:
            handle.remove()
        for weight, before in flags:
            weight.requires_grad_(before)


class _Gate:
    """Multiplies the inputs of an output projection by a gate for every head or neuron."""

    def __init__(self, gate: Tensor, repeat: int) -> None:
        self._gate, self._repeat = gate, repeat

    def __call__(self, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        wide = self._gate.repeat_interleave(self._repeat).to(args[0].dtype)
        return (args[0] * wide, *args[1:])


def _derivative(model: nn.Module, site: Site, grad: Tensor | None) -> Tensor:
    """Derivative with respect to the gates of a site, float64 on the CPU."""
    if site.experts is None and site.kind != "experts":
        assert grad is not None
        return grad.double().cpu()
    weight = model.get_parameter(site.output).detach()
    count = len(weight)
    if grad is None:  # no token came to any expert
        return torch.zeros(count, *([] if site.kind == "experts" else [site.lengths["neurons"]]),
                           dtype=torch.float64)
    product = (weight.double() * grad.double()).cpu()
    if site.kind == "experts":
        return product.sum((1, 2))
    dim = next(part.dim for part in site.parts if part.parameter == site.output)
    return product.sum(3 - dim)
