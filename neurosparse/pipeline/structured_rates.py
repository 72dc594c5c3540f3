"""Rates of structures by a rule's name, for ``prune --structured`` and as the start of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurosparse.budgets import Budget, allocate
from neurosparse.measure import profile, sizes_only, structure_rates
from neurosparse.measure.rule_evidence import evidence_of
from neurosparse.models import find_targets, products_of
from neurosparse.progress import Progress, silent
from neurosparse.pruning.structured import Group, Ladder, has_ladder


def rates_by_rule(model: nn.Module, tokens: torch.Tensor, groups: Sequence[Group], rate: float,
                  rule: str, *, metric: str = "flap", products: str = "auto", batch_size: int = 8,
                  ladders: Mapping[str, Ladder] | None = None, progress: Progress = silent
                  ) -> Budget:
    """A budget of sites for ``propagation``, of linears for the other rules.

    Where a block has fused experts ``propagation`` is the rule of the linears, too: its marginal
    damages are those of single weights, and a block's rate their mean.

    Raises
    ------
    BudgetError
        An unknown rule, or one that needs options.
    """
    if rule == "propagation" and all(has_ladder(group.site) for group in groups):
        return structure_rates(model, tokens, groups, rate, method=metric, ladders=ladders,
                               batch_size=batch_size, dtype=products_of(model, products),
                               progress=progress)
    needed = evidence_of(rule, rate, {}, products=products)
    measured = (profile(model, tokens, evidence=needed, dtype=products_of(model, products),
                        batch_size=batch_size, progress=progress) if needed
                else sizes_only(model))
    return allocate(measured, rate, rule=rule)


def rates_of_sites(model: nn.Module, groups: Sequence[Group], budget: Budget
                   ) -> NDArray[np.float64]:
    """Rates of sites from a budget of sites or of linears (their mean by size).

    Returns
    -------
    rates : array of shape (groups,)
    """
    value = {target.name: target.value for target in budget.targets}
    if all(group.name in value for group in groups):
        return np.array([value[group.name] for group in groups])
    owner = {part.parameter: number for number, group in enumerate(groups)
             for part in group.site.parts}
    given, size = np.zeros(len(groups)), np.zeros(len(groups))
    for target in find_targets(model):
        number = owner.get(f"{target.module_name}.{target.parameter}")
        if number is not None:
            given[number] += value[target.name] * target.size
            size[number] += target.size
    return np.asarray(given / size, float)
