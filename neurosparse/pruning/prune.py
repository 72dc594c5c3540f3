"""One pass through the blocks: look at the inputs, prune, go on with what the block then gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from neurosparse.budgets import Budget
from neurosparse.models import (
    BlockWalk,
    Target,
    find_blocks,
    find_targets,
    get_weight,
    nan_check,
    set_weight,
    watch_inputs,
)
from neurosparse.progress import Progress, silent
from neurosparse.pruning.masks import lowest_by_row
from neurosparse.pruning.methods import METHODS, Method, find_method, is_solver
from neurosparse.pruning.observe import BlockReport, Keeper, Observer
from neurosparse.pruning.refit import DenseStream, Refit, refit_block
from neurosparse.pruning.resolve import drop_counts
from neurosparse.pruning.statistics import StatisticsByTarget


@dataclass
class PruneReport:
    """Entries dropped by target, parameters looked at, and notes (experts never reached ...)."""

    dropped: dict[str, int] = field(default_factory=dict)
    size: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def sparsity(self) -> float:
        """Share of the looked-at parameters that was dropped."""
        return sum(self.dropped.values()) / self.size if self.size else 0.0


def prune(
    model: nn.Module,
    budget: Budget,
    tokens: torch.Tensor,
    *,
    method: str = "wanda",
    batch_size: int = 8,
    store: str = "memory",
    folder: str | None = None,
    refit: Refit | None = None,
    observers: Sequence[Observer] = (),
    keeper: Keeper | None = None,
    progress: Progress = silent,
) -> PruneReport:
    """Prune a model in place, block by block.

    The inputs of a block come from the already pruned blocks before it, and all linears of a block
    are pruned at once from the statistics of its dense form (as Wanda and ATP do).

    Parameters
    ----------
    model
        From ``models.load``; a streamed model needs a ``keeper``, which is where its weights go.
    budget
        What each linear or block gives; counts are exact.
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    method
        ``wanda`` (arXiv 2306.11695) or ``magnitude``, compared within output rows; ``sparsegpt``
        (arXiv 2301.00774), which also updates the weights that stay.
    batch_size
        Windows a forward pass.
    refit
        Solve each block's kept weights again, so that damaged inputs give the dense outputs.
    store, folder
        Where hidden states live: ``"memory"``, or ``"disk"`` below ``folder``.
    observers
        See every block before and after.
    keeper
        Keeps finished blocks and puts them back, for resuming.

    Returns
    -------
    PruneReport

    Raises
    ------
    BudgetError
        The budget does not fit the model.
    ModelError
        A weight is NaN or infinite, or the model has no decoder blocks.
    InputError
        Unknown method.
    """
    chosen = find_method(method)
    targets = find_targets(model)
    counts = drop_counts(budget, targets, find_blocks(model))
    walk = BlockWalk(model, tokens, batch_size=batch_size, store=store, folder=folder)
    stream = None if refit is None else DenseStream(walk)
    report = PruneReport(size=sum(t.size for t in targets if t.name in counts))
    for index in range(walk.n_blocks):
        mine = [t for t in targets if t.block == index and t.name in counts]
        with walk.block(index) as block:
            for observer in observers:
                observer.before(index, walk)
            after = None
            if stream is not None:
                after = DenseStream(walk, stream.hidden)
                after.advance(walk, index)
            if keeper is not None and keeper.has(index):
                done = keeper.put_back(index, block, mine)
            else:
                nan_check(model, mine)
                dense = {} if refit is None else {
                    target.name: get_weight(model, target).clone() for target in mine}
                done = _prune_block(model, walk, index, mine, counts, chosen)
                if refit is not None and stream is not None:
                    refit_block(model, walk, index, mine, dense, stream, refit)
                if keeper is not None:
                    keeper.keep(index, block, mine, done)
            walk.run(index, keep=True)
            stream = after
            for observer in observers:
                observer.after(index, walk)
        report.dropped |= done
        report.notes += done.notes
        progress("prune", index + 1, walk.n_blocks)
    return report


def _prune_block(
    model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target],
    counts: dict[str, int], method: Method,
) -> BlockReport:
    statistics = StatisticsByTarget(gram=is_solver(method))
    if method.needs_inputs and any(counts[t.name] for t in targets):
        with watch_inputs(model, targets, lambda t, x: statistics.add(t.name, x)):
            walk.run(index, keep=False)
    notes = []
    for target in targets:
        weight = get_weight(model, target)
        seen = statistics.get(target.name)
        way: Method = method
        if method.needs_inputs and target.expert is not None and seen is None:
            way = METHODS["magnitude"]
            if counts[target.name]:
                notes.append(f"{target.name} was never reached by calibration: pruned by magnitude")
        if not counts[target.name]:
            continue
        if is_solver(way) and seen is not None:
            solved, note = way.solve(weight, seen, counts[target.name])
            set_weight(model, target, solved)
            notes += [] if note is None else [f"{target.name}: {note}"]
            continue
        keep = lowest_by_row(way.scores(weight, seen), counts[target.name])
        set_weight(model, target, weight.masked_fill(~keep, 0.0))
    return BlockReport({t.name: counts[t.name] for t in targets}, notes)
