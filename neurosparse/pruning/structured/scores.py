"""Importance of every head, neuron and expert by a metric."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurosparse.models import BlockWalk, Target, find_targets, get_weight, watch_inputs
from neurosparse.models.sites import Site
from neurosparse.progress import Progress, silent
from neurosparse.pruning.statistics import StatisticsByTarget
from neurosparse.pruning.structured.gradients import gate_scores
from neurosparse.pruning.structured.groups import Group
from neurosparse.pruning.structured.magnitude import magnitude
from neurosparse.pruning.structured.metrics import COLUMN_METRICS, check_metric

GRADIENT = ("taylor", "fisher")


def outputs_of(model: nn.Module, sites: Sequence[Site]) -> list[Target]:
    """Targets whose inputs are the members of the sites."""
    names = {name for site in sites for name in site.output_names()}
    return [target for target in find_targets(model) if target.name in names]


def watch_block(walk: BlockWalk, index: int, targets: Sequence[Target], *, gram: bool = False
                ) -> StatisticsByTarget:
    """Statistics of the inputs of some targets of one block, on the walk's hidden states."""
    seen = StatisticsByTarget(gram=gram)
    with watch_inputs(walk.model, targets, lambda target, x: seen.add(target.name, x)):
        if any(target.expert is not None for target in targets):
            walk.run(index, keep=False)
        else:
            walk.look(index, [target.module_name for target in targets])
    return seen


def score_site(model: nn.Module, site: Site, method: str, targets: Sequence[Target],
               seen: StatisticsByTarget) -> Tensor:
    """Scores of one site by a metric that needs no gradient.

    Neurons of an expert that no token reached are compared by magnitude; the expert itself counts
    for nothing.

    Returns
    -------
    scores : float64 tensor of shape (heads,), (neurons,), (experts, neurons) or (experts,)
    """
    if method == "magnitude":
        return magnitude(model, site)
    metric, by_name = COLUMN_METRICS[method], {target.name: target for target in targets}
    rows: list[Tensor] = []
    for number, name in enumerate(site.output_names()):
        inputs = seen.get(name)
        if inputs is not None:
            rows.append(metric.columns(get_weight(model, by_name[name]), inputs))
        elif site.kind == "experts":
            rows.append(torch.zeros(by_name[name].shape[1], dtype=torch.float64))
        else:
            rows.append(magnitude(model, site)[number])
    if site.kind == "experts":
        return torch.stack(rows).sum(1)
    if site.experts is not None:
        return torch.stack(rows)
    return rows[0].view(-1, site.head_dim).sum(1)


def structured_scores(model: nn.Module, tokens: Tensor, groups: Sequence[Group], *,
                      method: str = "wanda-sp", batch_size: int = 8, progress: Progress = silent
                      ) -> dict[str, Tensor]:
    """Scores of all sites on the model as it is; a search chooses from them without more passes.

    Parameters
    ----------
    model
        In memory.
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    groups
        From ``find_groups``.
    method
        ``"wanda-sp"``, ``"flap"`` (both arXiv 2312.11983), ``"magnitude"``, ``"taylor"`` or
        ``"fisher"`` (one backward pass a window).

    Returns
    -------
    scores : dict from the name of a site to a float64 tensor of shape (heads,), (neurons,),
        (experts, neurons) or (experts,)

    Raises
    ------
    InputError
        An unknown method.
    """
    sites = [group.site for group in groups]
    if check_metric(method) in GRADIENT:
        return gate_scores(model, tokens, sites, method, progress=progress)
    if method == "magnitude":
        return {site.name: magnitude(model, site) for site in sites}
    walk = BlockWalk(model, tokens, batch_size=batch_size)
    found: dict[str, Tensor] = {}
    for index in range(walk.n_blocks):
        mine = [site for site in sites if site.block == index]
        targets = outputs_of(model, mine)
        seen = watch_block(walk, index, targets)
        found |= {site.name: score_site(model, site, method, targets, seen) for site in mine}
        walk.run(index, keep=True)
        progress("score", index + 1, walk.n_blocks)
    return found
