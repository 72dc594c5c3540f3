"""Gain of every attention and feed-forward map along the real error of cutting it, from gradients.

At a network that is cut everywhere, and solved again, let ``G`` be the gradient of its KL
divergence from the dense one by the output weights of site ``l``. One unit more or less changes
those weights by a known ``dW`` and the site's own error by a known ``de``: the gain
``<G, dW> / de`` is what a unit of that error costs in nats, with all cross terms to first order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from neurosparse.budgets.structures import SiteDamage
from neurosparse.errors import InputError
from neurosparse.models import multiplying
from neurosparse.models.placement import device_of
from neurosparse.progress import Progress, silent
from neurosparse.pruning.structured.ladder import Ladder, output_weight, solved

_NEAR = 0.06
"""Share of a site's units on either side between which the difference is taken."""


def site_damages(model: nn.Module, tokens: Tensor, ladders: Mapping[str, Ladder],
                 dropped: Mapping[str, int], *, dtype: torch.dtype | None = None,
                 progress: Progress = silent) -> tuple[list[SiteDamage], float]:
    """What ``budgets.structures`` allocates from, measured where the network is cut.

    Two forward passes and a backward pass of every window; memory holds the graph of one. The
    linearisation needs an error of every site to go by: cut them all about alike.

    Parameters
    ----------
    model
        Dense, in memory; as before afterwards.
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    ladders
        From ``make_ladders``.
    dropped
        Units that every site lacks where the gradient is taken.
    dtype
        Of the products; the model's own by default.

    Returns
    -------
    sites, nats
        One of each ladder, and the mean KL divergence a token at ``dropped``.

    Raises
    ------
    InputError
        No window.
    """
    if not len(tokens):
        raise InputError("measure gains of structures", found="no window",
                         expected="one or more")
    gradients = {name: torch.zeros_like(ladder.carried) for name, ladder in ladders.items()}
    nats = 0.0
    for number, window in enumerate(tokens):
        nats += _window(model, window, ladders, dropped, gradients, dtype) / len(tokens)
        progress("gains", number + 1, len(tokens))
    return [_site(model, ladder, dropped.get(name, 0), gradients[name] / len(tokens))
            for name, ladder in ladders.items()], nats


def _window(model: nn.Module, window: Tensor, ladders: Mapping[str, Ladder],
            dropped: Mapping[str, int], gradients: Mapping[str, Tensor],
            dtype: torch.dtype | None) -> float:
    """KL of one window; its gradients are added."""
    with torch.no_grad(), multiplying(model, dtype):
        dense = _logits(model, window).log_softmax(-1)
    weights = {name: output_weight(model, ladder.group.site) for name, ladder in ladders.items()}
    flags = {name: weight.requires_grad for name, weight in weights.items()}
    with solved(model, ladders, dropped):
        try:
            for weight in weights.values():
                weight.requires_grad_(True)
            with torch.enable_grad(), multiplying(model, dtype):
                logits = _logits(model, window)
            ours = logits.detach().log_softmax(-1)
            odds = dense.exp()
            nats = float((odds * (dense - ours)).sum()) / len(window)
            # The gradient of KL(p || softmax(z)) by z is softmax(z) - p.
            slope = ours.exp_().sub_(odds).div_(len(window))
            found = torch.autograd.grad(logits, list(weights.values()), slope, allow_unused=True)
        finally:
            for name, weight in weights.items():
                weight.requires_grad_(flags[name])
    for name, part in zip(weights, found, strict=True):
        if part is not None:
            gradients[name].add_(part.float())
    return nats


def _logits(model: nn.Module, window: Tensor) -> Tensor:
    there = window[None].to(device_of(model))
    out: Tensor = model(input_ids=there, use_cache=False).logits[0]
    return out.float()


def _site(model: nn.Module, ladder: Ladder, dropped: int, gradient: Tensor) -> SiteDamage:
    group = ladder.group
    choices: Sequence[int] = group.choices
    near = max(1, round(_NEAR * group.count))
    low, high = max(dropped - near, 0), min(dropped + near, choices[-1])
    gain = 0.0
    change = ladder.errors[high] - ladder.errors[low]
    if change > 0:
        dense = output_weight(model, group.site).detach()
        moved = ladder.weight(dense, high) - ladder.weight(dense, low)
        gain = float((gradient.double() * moved.double()).sum()) / float(change)
    return SiteDamage(group.name, group.whole, group.parameters, choices,
                      ladder.errors[list(choices)], gain)
