"""One pass through the blocks: look at the inputs, prune, go on with what the block then gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from neurosparse.budgets import Budget
from neurosparse.errors import InputError
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
from neurosparse.pruning.choose import Shape, prune_linear
from neurosparse.pruning.dense_stream import DenseStream
from neurosparse.pruning.methods import METHODS, Method, find_method, is_solver
from neurosparse.pruning.observe import BlockReport, Keeper, Observer
from neurosparse.pruning.pattern import Pattern, per_group
from neurosparse.pruning.refit import Refit, refit_block
from neurosparse.pruning.resolve import drop_counts
from neurosparse.pruning.statistics import InputStatistics, StatisticsByTarget


@dataclass
class PruneReport:
    """Zeros by target, parameters looked at, and notes (experts never reached ...).

    Zeros are counted in the weights themselves, where the budget takes something away or old zeros
    are kept; a note says where there are more or fewer than the budget asks for.
    """

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
    dtype: torch.dtype | None = None,
    refit: Refit | None = None,
    pattern: str | Pattern | None = None,
    keep_zeros: bool = False,
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
        What each linear or block gives; counts are exact (but see ``keep_zeros``).
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    method
        ``wanda`` (arXiv 2306.11695), ``wanda-variant``, ``ria``, ``dsnot`` or ``magnitude``, which
        choose what goes; ``sparsegpt`` (arXiv 2301.00774) or ``alps``, which also solve what stays.
    batch_size
        Windows a forward pass.
    refit
        Solve each block's kept weights again, so that damaged inputs give the dense outputs.
    pattern
        ``"2:4"``, ``"4:8"`` ...: in every group of M neighbours of a row as many stay; ``"n:8"``:
        as many of 8 as the budget gives the linear (``allocate(..., multiple=8)``).
    keep_zeros
        Weights that are zero stay zero and count among the dropped; a linear that already has more
        zeros in a row or group than its budget keeps them all.
    store, folder
        Where hidden states live: ``"memory"``, ``"device"`` (on the card, if it has room for
        windows x length x width numbers), or ``"disk"`` below ``folder``.
    dtype
        Of the calibration's matrix products (``torch.bfloat16`` takes about half the time where
        the machine has instructions for it); the model's own by default.
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
        Unknown method or pattern, or one that the budget does not fit; a method that needs inputs,
        and a linear that the model never calls; a re-fit that chooses masks, with a pattern or
        ``keep_zeros``.
    """
    chosen = find_method(method)
    if refit is not None:
        refit.check(pattern=pattern is not None, keep_zeros=keep_zeros)
    shape = Shape(None if pattern is None else Pattern.read(pattern).group, keep_zeros)
    targets = find_targets(model)
    counts = drop_counts(budget, targets, find_blocks(model))
    if pattern is not None:
        _check_pattern(Pattern.read(pattern), targets, counts)
    walk = BlockWalk(model, tokens, batch_size=batch_size, store=store, folder=folder,
                     dtype=dtype)
    run = _Pass(model, walk, counts, chosen, shape, keeper, refit,
                None if refit is None else DenseStream(walk))
    report = PruneReport(size=sum(t.size for t in targets if t.name in counts))
    for index in range(walk.n_blocks):
        mine = [t for t in targets if t.block == index and t.name in counts]
        with walk.block(index) as block:
            for observer in observers:
                observer.before(index, walk)
            done = run.through(index, block, mine)
            walk.run(index, keep=True)
            for observer in observers:
                observer.after(index, walk)
        report.dropped |= done
        report.notes += done.notes
        progress("prune", index + 1, walk.n_blocks)
    return report


@dataclass
class _Pass:
    """What stays the same from block to block, and the dense stream that a refit compares with."""

    model: nn.Module
    walk: BlockWalk
    counts: dict[str, int]
    method: Method
    shape: Shape
    keeper: Keeper | None
    refit: Refit | None
    stream: DenseStream | None

    def through(self, index: int, block: nn.Module, targets: list[Target]) -> BlockReport:
        """Prune a block, or put back what an earlier run kept of it."""
        plain = [target for target in targets if target.expert is None]
        if self.stream is not None:  # goes through the dense block, so before it is pruned
            self.stream.advance(self.model, self.walk, index, plain)
        if self.keeper is not None and self.keeper.has(index):
            return self.keeper.put_back(index, block, targets)
        nan_check(self.model, targets)
        done = (self._prune(index, targets) if self.stream is None or self.refit is None
                else self._refit(index, targets, plain, self.stream, self.refit))
        self._count(targets, done)
        if self.keeper is not None:
            self.keeper.keep(index, block, targets, done)
        return done

    def _count(self, targets: list[Target], done: BlockReport) -> None:
        """The zeros that there are, since a report that repeats the budget would hide a fault."""
        for target in targets:
            asked = self.counts[target.name]
            if not asked and not self.shape.keep_zeros:
                continue
            weight = get_weight(self.model, target)
            done[target.name] = weight.numel() - int(torch.count_nonzero(weight))
            if done[target.name] != asked:
                done.notes.append(f"{target.name}: {done[target.name]} zeros, the budget asks for "
                                  f"{asked}")

    def _prune(self, index: int, targets: list[Target]) -> BlockReport:
        return _prune_block(self.model, self.walk, index, targets, self.counts, self.method,
                            self.shape)

    def _refit(self, index: int, targets: list[Target], plain: list[Target],
               stream: DenseStream, refit: Refit) -> BlockReport:
        dense = {target.name: get_weight(self.model, target).clone() for target in plain}
        first = targets if refit.mask != "along" else [
            target for target in targets if target.expert is not None]
        notes = self._prune(index, first).notes if first else []

        def choose(target: Target, weight: torch.Tensor, seen: InputStatistics) -> torch.Tensor:
            count = self.counts[target.name]
            if not count:
                return weight
            if self.shape.keep_zeros:
                weight = weight * (dense[target.name] != 0)
            pruned, note = prune_linear(weight, seen, count, self.method, self.shape)
            notes.extend([] if note is None else [f"{target.name}: {note}"])
            return pruned

        notes += refit_block(self.model, self.walk, index, dense, stream, refit, choose)
        return BlockReport({target.name: self.counts[target.name] for target in targets}, notes)


def check_widths(pattern: Pattern, targets: Sequence[Target]) -> None:
    """Do the inputs of every linear make whole groups? No budget is needed to say so.

    Raises
    ------
    InputError
        Those of a linear do not.
    """
    for target in targets:
        _gone(pattern, target, 0)


def _gone(pattern: Pattern, target: Target, drop: int) -> int:
    """How many of a group go; errors name the linear."""
    try:
        return per_group(target.shape, pattern.group, drop)
    except InputError as error:
        raise InputError(f"prune {target.name} {pattern}", found=error.found,
                         expected=error.expected, mend=error.mend) from error


def _check_pattern(pattern: Pattern, targets: Sequence[Target], counts: dict[str, int]) -> None:
    """Before anything runs: does every linear's count make the pattern?"""
    for target in targets:
        if target.name not in counts:
            continue
        gone = _gone(pattern, target, counts[target.name])
        if pattern.keep is not None and gone != pattern.group - pattern.keep:
            raise InputError(f"prune {target.name} {pattern}",
                             found=f"a budget that drops {gone} of {pattern.group}",
                             expected=f"{pattern.group - pattern.keep} of {pattern.group}",
                             mend=f"Take a uniform budget of sparsity {pattern.sparsity:g}, or "
                                  f"pattern n:{pattern.group}.")


def _unseen(target: Target, method: Method) -> InputError:
    """Some models use a weight without calling its linear (``dt_proj`` of Mamba)."""
    last = target.module_name.rpartition(".")[2]
    return InputError(f"prune {target.name} by {method.name}", found="no calibration inputs",
                      expected="a linear that the model calls",
                      mend=f"Leave it alone (--exclude '*.{last}'), or take --method magnitude.")


def _prune_block(
    model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target],
    counts: dict[str, int], method: Method, shape: Shape,
) -> BlockReport:
    statistics = StatisticsByTarget(gram=is_solver(method))
    if method.needs_inputs and any(counts[t.name] for t in targets):
        with watch_inputs(model, targets, lambda t, x: statistics.add(t.name, x)):
            if any(target.expert is not None for target in targets):
                walk.run(index, keep=False)
            else:
                walk.look(index, [target.module_name for target in targets])
    notes = []
    for target in targets:
        weight = get_weight(model, target)
        seen = statistics.get(target.name)
        way: Method = method
        if method.needs_inputs and target.expert is not None and seen is None:
            way = METHODS["magnitude"]
            if counts[target.name]:
                notes.append(f"{target.name} was never reached by calibration: pruned by magnitude")
        if counts[target.name]:
            if way.needs_inputs and seen is None:
                raise _unseen(target, method)
            pruned, note = prune_linear(weight, seen, counts[target.name], way, shape)
            set_weight(model, target, pruned)
            notes += [] if note is None else [f"{target.name}: {note}"]
    return BlockReport({t.name: counts[t.name] for t in targets}, notes)
