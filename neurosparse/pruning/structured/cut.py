"""Cut heads, neurons and experts out, block by block: smaller matrices, an ordinary model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from neurosparse.budgets import Budget
from neurosparse.errors import ModelError
from neurosparse.models import BlockWalk, find_targets, is_streamed, nan_check
from neurosparse.models.sites import Kept
from neurosparse.progress import Progress, silent
from neurosparse.pruning.structured.compensate import few_tokens, find_way
from neurosparse.pruning.structured.cutter import Cutter, resized
from neurosparse.pruning.structured.groups import Group, find_groups, group_named
from neurosparse.pruning.structured.metrics import check_metric
from neurosparse.pruning.structured.plan import make_plan
from neurosparse.pruning.structured.report import StructuredReport
from neurosparse.pruning.structured.scores import GRADIENT, structured_scores
from neurosparse.sparse.uneven import tell_widths


def prune_structured(
    model: nn.Module,
    budget: Budget | Sequence[Budget],
    tokens: Tensor,
    *,
    method: str = "wanda-sp",
    compensate: bool | str = True,
    heads: str = "groups",
    experts: bool = False,
    round_to: int = 1,
    batch_size: int = 8,
    dtype: torch.dtype | None = None,
    kept: Mapping[str, Kept] | None = None,
    progress: Progress = silent,
) -> StructuredReport:
    """Cut a model in place, block by block.

    The inputs of a block come from the already cut blocks before it; heads and neurons of a block
    are chosen together from the statistics of its dense form, as in Wanda-sp. The cut model runs,
    generates with a cache, trains and saves (``neurosparse.sparse.save_uneven``) like any other.

    Parameters
    ----------
    model
        From ``models.load``; in memory.
    budget
        Kind ``"sparsity"``: rates of linears or blocks, in parameters; or kinds ``"heads"``,
        ``"neurons"``, ``"experts"``: how many stay. See ``make_plan``.
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    method
        ``"wanda-sp"``, ``"flap"``, ``"magnitude"``, ``"taylor"``, ``"fisher"``; the last two look
        at the dense model once, before anything is cut.
    compensate
        True or ``"least_squares"``: the output projections are fitted anew on what stays;
        ``"bias"``: they get the mean of what goes as a bias (FLAP; not inside fused experts);
        False or ``"none"``.
    heads
        ``"groups"`` or ``"queries"``; see ``find_groups``.
    experts
        Whole experts of mixtures in place of neurons inside them.
    round_to
        Neurons that stay are a multiple of it; inside fused experts of it and of 8.
    batch_size, dtype
        As for ``prune``.
    kept
        What stays, by site, where that is decided already (by a search); sites that are not named
        follow ``budget``.

    Returns
    -------
    StructuredReport

    Raises
    ------
    BudgetError
        The budget does not fit the model.
    ModelError
        The architecture is not understood, weights are not finite, or the model is streamed.
    InputError
        An unknown word or a number out of range.
    """
    check_metric(method)
    way = find_way(compensate)
    if is_streamed(model):
        raise ModelError("cut", found="a streamed model", expected="a model in memory",
                         mend="Load it without stream=True.")
    groups = find_groups(model, heads=heads, experts=experts, round_to=round_to)
    plan = make_plan(model, budget, groups)
    nan_check(model, find_targets(model))
    dense = structured_scores(model, tokens, groups, method=method) if method in GRADIENT else {}
    report = StructuredReport(asked=plan.asked, size=plan.size, notes=list(plan.notes))
    run = Cutter(model, method, way, dense, plan.dropped, kept or {}, report)
    walk = BlockWalk(model, tokens, batch_size=batch_size, dtype=dtype)
    _walk_through(walk, run, groups, progress)
    return report


def _walk_through(walk: BlockWalk, run: Cutter, groups: Sequence[Group], progress: Progress
                  ) -> None:
    before, report = _numbers(walk.model), run.report
    for index in range(walk.n_blocks):
        run.through(walk, index, [group for group in groups if group.site.block == index])
        walk.run(index, keep=True)
        progress("cut", index + 1, walk.n_blocks)
    tell_widths(walk.model, bias=run.biased)
    report.removed = before - _numbers(walk.model)
    added = sum(site.removed for site in report.sites.values()) - report.removed
    if added:
        report.notes.append(f"{added} parameters were added as biases")
    report.notes += few_tokens(run.fits)


def cut(model: nn.Module, groups: Sequence[Group], kept: Mapping[str, Kept]) -> StructuredReport:
    """Cut what a search has chosen, in place, with no data and no compensation.

    The cut model gives the logits that the model gives under ``masked(model, groups, kept)``.

    Raises
    ------
    InputError
        A name or an index that does not fit the model.
    """
    before = _numbers(model)
    report = StructuredReport(size=sum(target.size for target in find_targets(model)))
    for name, indices in kept.items():
        site = group_named(groups, name).site
        report.sites[name] = resized(model, site, indices)
    tell_widths(model)
    report.removed = report.asked = before - _numbers(model)
    return report


def _numbers(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
