"""Damage in nats at a budget, and its first-order change by rank of the weights (theory.md 1).

The damage is ``KL(dense || sparse)`` of the predictions, mean over tokens. Where the activations of
one window are small the graph of the whole model is kept for it; else blocks are replayed one by
one in both directions, so that memory holds the hidden states between blocks, the activations and
weight gradients of one block, and the logits of a piece of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurosparse.errors import ModelError
from neurosparse.measure.ranks import LEVELS, Ranks
from neurosparse.models import (
    BlockWalk,
    Target,
    get_weight,
    is_streamed,
    predictions_of,
    set_weight,
)
from neurosparse.progress import Progress, silent

BINS = 64
# Logits of a piece are several tensors of this many numbers: few enough to stay in the cache.
_LOGITS = 2**23
# Bytes of activations up to which a graph of the whole model is kept, and how many tensors of a
# hidden state's size a block keeps for its backward pass, about.
_GRAPH_BYTES, _KEPT = 2**31, 30


@dataclass(frozen=True)
class Damage:
    """Damage of one sparse model and what would change it.

    Attributes
    ----------
    nats
        Mean KL divergence a token.
    density : array of shape (targets, bins)
        ``-sum g W`` over weights whose rank lies in the bin, times the number of bins: to first
        order the damage that a target does a unit of rate, at that rank.
    """

    nats: float
    density: NDArray[np.float64]


@contextmanager
def sparsified(model: nn.Module, targets: Sequence[Target], ranks: Ranks,
               rates: Mapping[str, float]) -> Iterator[None]:
    """Inside, the targets lack the weights of lowest rank; afterwards they are as before."""
    before = {target: get_weight(model, target).detach().clone() for target in targets}
    try:
        for target, weight in before.items():
            keep = ranks.keep(target.name, rates[target.name]).to(weight.device)
            set_weight(model, target, weight * keep)
        yield
    finally:
        for target, weight in before.items():
            set_weight(model, target, weight)


def damage(model: nn.Module, tokens: Tensor, dense: Tensor, targets: Sequence[Target],
           ranks: Ranks, rates: Sequence[float], *, batch_size: int = 4,
           dtype: torch.dtype | None = None, store: str = "memory",
           progress: Progress = silent, label: str = "damage") -> Damage:
    """Damage and its density at given rates, by one forward and one backward pass.

    Costs three forward passes of ``tokens``, or four where the model is streamed or a window's
    activations are large: the backward pass then repeats the forward block by block.

    Parameters
    ----------
    model
        The dense model, in memory or streamed; as before afterwards.
    tokens : int64 tensor of shape (windows, length), or images
    dense : tensor of shape (windows, length, width)
        Hidden states of the dense model after its last block.
    targets, rates
        What is taken from which linear, in [0, 1].
    ranks
        Of the dense model's weights.
    batch_size
        Windows at a time.
    dtype
        Of the products, forward and back; the model's own by default. Log-probabilities are
        always float32.
    store
        ``"memory"`` or ``"device"``: where the hidden states between blocks are kept.

    Raises
    ------
    ModelError
        The weights of a block are not in memory while it runs.
    """
    by_name = {target.name: float(rate) for target, rate in zip(targets, rates, strict=True)}
    if not is_streamed(model):
        single = BlockWalk(model, tokens, batch_size=1, dtype=dtype, store=store)
        if _graph_bytes(single, targets) <= _GRAPH_BYTES:
            return _whole(model, single, dense, targets, ranks, by_name, progress, label)
    walk = BlockWalk(model, tokens, batch_size=batch_size, dtype=dtype, store=store)
    states: list[list[Tensor]] = []
    for index in range(walk.n_blocks):
        states.append([walk.hidden(batch).clone() for batch in range(walk.n_batches)])
        mine = [target for target in targets if target.block == index]
        with torch.no_grad(), walk.block(index), sparsified(model, mine, ranks, by_name):
            walk.run(index, keep=True)
        progress(label, index + 1, 2 * walk.n_blocks)
    wanted = torch.split(dense, batch_size)
    total, back = 0.0, []
    for batch in range(walk.n_batches):
        nats, gradient = _output(walk, batch, walk.hidden(batch), wanted[batch],
                                 predictions_of(tokens))
        total += nats
        back.append(gradient)
    density: dict[str, NDArray[np.float64]] = {}
    for index in reversed(range(walk.n_blocks)):
        mine = [target for target in targets if target.block == index]
        with walk.block(index):
            density |= _block(model, walk, index, mine, states.pop(), back, ranks, by_name)
        progress(label, 2 * walk.n_blocks - index, 2 * walk.n_blocks)
    return Damage(total, np.stack([density[target.name] for target in targets]))


def _graph_bytes(walk: BlockWalk, targets: Sequence[Target]) -> int:
    """Of one window, about."""
    widest = max(target.shape[0] + target.shape[1] for target in targets)
    hidden = walk.hidden(0)
    share = max(1.0, widest / (4 * hidden.shape[-1]))
    return int(walk.n_blocks * _KEPT * hidden.numel() * hidden.element_size() * share)


def _whole(model: nn.Module, walk: BlockWalk, dense: Tensor, targets: Sequence[Target],
           ranks: Ranks, rates: Mapping[str, float], progress: Progress, label: str) -> Damage:
    """Window by window, with the graph of all blocks; gradients add up in the parameters."""
    total = 0.0
    with (sparsified(model, targets, ranks, rates), block_parameters(model, targets) as owners,
          _head_cast_once(model), walk.products()):
        try:
            for batch in range(walk.n_batches):
                with torch.enable_grad():
                    x = walk.hidden(batch).clone()
                    for index in range(walk.n_blocks):
                        x = walk.run_on(index, x, batch)
                nats, gradient = _output(walk, batch, x.detach(), dense[batch : batch + 1],
                                         predictions_of(walk.tokens))
                total += nats
                torch.autograd.backward([x], [gradient.to(x.device, x.dtype)])
                progress(label, batch + 1, walk.n_batches)
            sums = {name: owner.grad for name, owner in owners.items() if owner.grad is not None}
        finally:
            for owner in owners.values():
                owner.grad = None
    # With the dense weights back: those that are gone have a density too.
    return Damage(total, np.stack([_density(model, target, sums, ranks) for target in targets]))


def _output(walk: BlockWalk, batch: int, hidden: Tensor, dense: Tensor, tokens: int
            ) -> tuple[float, Tensor]:
    """KL of one batch and its gradient by the last hidden state, piece by piece."""
    gradient = torch.empty_like(hidden)
    total = 0.0
    for here in walk.pieces(batch, _LOGITS):
        start = here.start
        with torch.no_grad():
            target = walk.head(dense[:, here], batch, start).float().log_softmax(-1)
        with torch.enable_grad():
            x = hidden[:, here].detach().clone().requires_grad_()
            logits = walk.head(x, batch, start)
        with torch.no_grad():
            found = logits.float().log_softmax(-1)
            odds, ours = target.exp(), found.exp()
            total += float(torch.sum(odds * target.sub_(found))) / tokens
            # The gradient of KL(p || softmax(z)) by z is softmax(z) - p.
            slope = ours.sub_(odds).div_(tokens).to(logits.dtype)
        gradient[:, here] = torch.autograd.grad(logits, x, slope)[0]
    return total, gradient


@contextmanager
def block_parameters(model: nn.Module, targets: Sequence[Target]
                     ) -> Iterator[dict[str, nn.Parameter]]:
    """The parameters behind targets (experts share theirs) by name; gradients are on inside.

    Raises
    ------
    ModelError
        A weight is not in memory.
    """
    found: dict[str, nn.Parameter] = {}
    for target in targets:
        owner = model.get_submodule(target.module_name)._parameters.get(target.parameter)
        if owner is None or owner.device.type == "meta":
            raise ModelError(f"differentiate {target.name}", found="a weight that is elsewhere",
                             expected="the block's weights in memory",
                             mend="Load the model with stream=True instead of offloading it.")
        found[f"{target.module_name}.{target.parameter}"] = owner
    asked = {name: owner.requires_grad for name, owner in found.items()}
    try:
        for owner in found.values():
            owner.requires_grad_(True)
        yield found
    finally:
        for name, owner in found.items():
            owner.requires_grad_(asked[name])


@contextmanager
def _head_cast_once(model: nn.Module) -> Iterator[None]:
    """Autocast remembers the cast of a weight only if it could have a gradient."""
    getter = getattr(model, "get_output_embeddings", None)
    weight = getattr(getter() if getter is not None else None, "weight", None)
    if not isinstance(weight, nn.Parameter):
        yield
        return
    before = weight.requires_grad
    try:
        weight.requires_grad_(True)
        yield
    finally:
        weight.requires_grad_(before)


def _block(model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target],
           states: list[Tensor], back: list[Tensor], ranks: Ranks, rates: Mapping[str, float]
           ) -> dict[str, NDArray[np.float64]]:
    """Density of one block's targets; ``back`` goes from its output to its input."""
    sums: dict[str, Tensor] = {}
    with sparsified(model, targets, ranks, rates), block_parameters(model, targets) as owners:
        for batch, state in enumerate(states):
            with torch.enable_grad():
                x = state.detach().clone().requires_grad_()
                answer = walk.run_on(index, x, batch)
                found = torch.autograd.grad(
                    answer, [x, *owners.values()], back[batch].to(answer.device, answer.dtype),
                    allow_unused=True)
            back[batch] = found[0]
            for name, part in zip(owners, found[1:], strict=True):
                if part is not None:
                    sums[name] = sums[name].add_(part) if name in sums else part
    return {target.name: _density(model, target, sums, ranks) for target in targets}


def _density(model: nn.Module, target: Target, sums: Mapping[str, Tensor], ranks: Ranks
             ) -> NDArray[np.float64]:
    gradient = sums.get(f"{target.module_name}.{target.parameter}")
    if gradient is None:
        return np.zeros(BINS)
    if target.expert is not None:
        gradient = gradient[target.expert]
    matrix = gradient.T if target.transposed else gradient
    product = -(matrix.float() * get_weight(model, target).detach().float())
    place = ranks.get(target.name) // (LEVELS // BINS)
    if place.device.type == "cpu":
        found = torch.bincount(place.flatten().long(), minlength=BINS,
                               weights=product.cpu().flatten().double())
    else:  # a card's bincount adds in whatever order: twice the same run would not be the same
        product = product.to(place.device)
        found = torch.stack([torch.where(place == one, product, 0.0).sum(dtype=torch.float64)
                             for one in range(BINS)]).cpu()
    return found.numpy() * BINS
