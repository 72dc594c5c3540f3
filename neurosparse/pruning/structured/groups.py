"""What a model can give away at a time: heads or groups of heads, neurons, experts."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from neurosparse.errors import BudgetError, InputError
from neurosparse.models import find_targets
from neurosparse.models.find_sites import find_sites
from neurosparse.models.sites import Kept, Site

HEADS = ("groups", "queries")
EXPERT_STEP = 8
"""Neurons inside fused experts: torch's grouped product wants rows of whole 16 bytes."""


@dataclass(frozen=True)
class Group:
    """The units of one site.

    Parameters
    ----------
    site
        The attention or feed-forward map.
    count
        Units that it has.
    parameters
        Parameters that go with one unit, biases among them.
    whole
        Parameters of all its linear maps (no biases), of which a rate is a share.
    least
        Units that must stay (of experts as many as a token is sent to, else 1).
    queries
        A unit is one query head of every key and value head, and not a key and value head with
        all its query heads.
    step
        Neurons that stay are a multiple of it (or all of them).
    """

    site: Site
    count: int
    parameters: int
    whole: int
    least: int = 1
    queries: bool = False
    step: int = 1

    @property
    def name(self) -> str:
        """Module path of the site."""
        return self.site.name

    @cached_property
    def choices(self) -> list[int]:
        """Numbers of units that may be dropped, increasing."""
        return [self.count - kept for kept in range(self.count, self.least - 1, -1)
                if kept % self.step == 0 or kept == self.count]

    def nearest(self, dropped: float) -> int:
        """The choice nearest to a number of units; of two equally near ones the smaller."""
        at = bisect_left(self.choices, dropped)
        return min(self.choices[max(at - 1, 0) : at + 1] or self.choices[-1:],
                   key=lambda choice: (abs(choice - dropped), choice))


def check_units(operation: str, heads: str, round_to: int) -> None:
    """Refuse unknown units of attention and multiples of neurons below one.

    Raises
    ------
    InputError
        As said.
    """
    if heads not in HEADS or round_to < 1:
        raise InputError(operation, found=f"heads {heads!r}, round_to {round_to}",
                         expected=f"heads {' or '.join(HEADS)}; round_to at least 1")


def find_groups(model: nn.Module, *, heads: str = "groups", experts: bool = False,
                round_to: int = 1) -> list[Group]:
    """The units of every attention and feed-forward map of a model, in order.

    Parameters
    ----------
    model
        A causal language model; meta tensors will do.
    heads
        Under grouped-query attention: ``"groups"`` drops key and value heads with all their query
        heads, ``"queries"`` equally many query heads inside every group. The same without groups.
    experts
        Of mixtures drop whole experts, and not as many neurons in each of them.
    round_to
        Neurons that stay are a multiple of it; inside fused experts of it and of 8.

    Raises
    ------
    InputError
        ``heads`` or ``round_to`` is out of range.
    ModelError
        The architecture is not understood.
    """
    check_units("find groups", heads, round_to)
    sizes: Counter[str] = Counter()
    for target in find_targets(model):
        sizes[f"{target.module_name}.{target.parameter}"] += target.size
    return [_group(model, site, heads, round_to,
                   sum(sizes[name] for name in {part.parameter for part in site.parts}))
            for site in find_sites(model, experts=experts)]


def check_room(groups: Sequence[Group], rate: float) -> None:
    """Refuse a share of the linears' parameters that all units together do not reach.

    Raises
    ------
    BudgetError
        So much cannot go.
    """
    whole = sum(group.whole for group in groups)
    room = sum(group.choices[-1] * group.parameters for group in groups)
    if round(rate * whole) > room:
        raise BudgetError("cut structures", found=f"rate {rate:g}",
                          expected=f"at most {math.floor(1e4 * room / whole) / 1e4:g}: one unit "
                                   "stays everywhere")


def _group(model: nn.Module, site: Site, heads: str, round_to: int, whole: int) -> Group:
    if site.kind == "heads":
        head, kv = site.each(model, "heads"), site.each(model, "kv_heads")
        if heads == "queries" and site.per_group > 1:
            return Group(site, site.per_group, head * site.lengths["kv_heads"], whole,
                         queries=True)
        return Group(site, site.lengths["kv_heads"], head * site.per_group + kv, whole)
    size = site.each(model, site.kind)
    if site.kind == "experts":
        assert site.router is not None
        least = getattr(model.get_submodule(site.router), "top_k", 1)
        return Group(site, site.lengths["experts"], size, whole, least=int(least))
    step = round_to if site.experts is None else math.lcm(round_to, EXPERT_STEP)
    return Group(site, site.lengths["neurons"], size, whole, step=step)


def keep(group: Group, scores: Tensor, dropped: int) -> Kept:
    """What stays when the units with the lowest scores go.

    Parameters
    ----------
    group
        The units.
    scores : float tensor of shape (heads,), (neurons,), (experts, neurons) or (experts,)
        Importance of every head (units of heads have the sum of theirs), neuron or expert. Of
        equal scores the first go first.
    dropped
        Units to drop; of neurons inside experts so many in each expert.

    Raises
    ------
    InputError
        The scores have another shape or are not numbers, or not so many units can go.
    """
    site = group.site
    leading = () if site.experts is None else (site.experts,)
    shape = (*leading, site.lengths[site.kind])
    if tuple(scores.shape) != shape or bool(scores.isnan().any()):
        raise InputError(f"choose in {site.name}", found=f"scores of shape {tuple(scores.shape)}",
                         expected=f"numbers of shape {shape}")
    if not 0 <= dropped <= group.count - group.least:
        raise InputError(f"choose in {site.name}", found=f"{dropped} units to drop",
                         expected=f"0 to {group.count - group.least}")
    if site.kind != "heads":
        return {site.kind: _highest(scores, dropped)}
    by_group = scores.view(-1, site.per_group)
    inside = torch.arange(site.per_group).expand(len(by_group), -1)
    groups = torch.arange(len(by_group))
    if group.queries:
        inside = _highest(by_group, dropped)
    else:
        groups = _highest(by_group.sum(1), dropped)
        inside = inside[groups]
    return {"heads": (groups[:, None] * site.per_group + inside).flatten(), "kv_heads": groups}


def _highest(scores: Tensor, dropped: int) -> Tensor:
    """Indices of all but the lowest along the last dimension, increasing."""
    order = torch.argsort(scores, dim=-1, stable=True)[..., dropped:]
    return order.sort(-1).values.cpu()


def group_named(groups: Sequence[Group], name: str) -> Group:
    """The group of a site.

    Raises
    ------
    InputError
        There is none of that name.
    """
    for group in groups:
        if group.name == name:
            return group
    raise InputError("look up a group", found=repr(name), expected="a name of the model's groups")
