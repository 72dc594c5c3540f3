"""The search: ask a proposer, evaluate what is not known, tell it, until the budget is spent."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.search.archive import Archive
from neurosparse.search.evaluation import outcomes
from neurosparse.search.ladder import Ladder
from neurosparse.search.lines import Asked, Entry
from neurosparse.search.proposers.protocol import Proposer
from neurosparse.search.result import SearchResult, Trial
from neurosparse.search.space import Space
from neurosparse.sweeps.pool import Submits

Floats = NDArray[np.float64]
Takes = Literal["budget", "values"]
Ended = Literal["evaluations", "finished", "repeating"]
_PATIENCE = 20
"""Batches without anything new after which a proposer is taken to repeat itself."""


def search(
    space: Space, fitness: Callable[..., float], proposer: Proposer, evaluations: int = 100, *,
    takes: Takes = "budget", archive: str | Path | None = None,
    about: Mapping[str, Any] | None = None, batch: int | None = None,
    fidelities: Sequence[int] | None = None, survivors: Sequence[int] = (),
    executor: Submits | None = None, progress: Progress = silent,
) -> SearchResult:
    """Find the configuration of least fitness within a budget of evaluations.

    Parameters
    ----------
    space
        What is searched.
    fitness
        ``fitness(budget)``, or ``fitness(budget, fidelity=...)`` where fidelities are given; less
        is better. One that raises or returns no finite number has failed: it counts, the search
        goes on. Select on one text, report on another.
    proposer
        A fresh one: it is told what the archive holds of this run.
    evaluations
        Distinct configurations at most; with fidelities their cost, in units of one evaluation at
        the highest. What another run of the archive has evaluated is not evaluated again, but
        counts: proposers are compared at equal budgets.
    takes
        ``"budget"`` (a list of budgets where the space has several kinds), or ``"values"``: the
        array of shape (units,).
    archive
        File to go on with or to begin, safe to kill; several runs may share it, one after the
        other.
    about
        What else the values depend on (metric, text, windows). An archive that says otherwise is
        refused.
    batch
        How many to ask for at a time; the proposer's own number by default.
    fidelities, survivors
        Multi-fidelity (EvoPress): every batch at ``fidelities[0]``, the best ``survivors[0]`` of it
        at ``fidelities[1]``, and so on. The numbers are costs, as windows of text.
    executor
        Anything with ``submit`` of ``concurrent.futures``; in this thread by default. For other
        processes the fitness must be importable. Results do not depend on it.
    progress
        ``progress("search, best 12.3", done, total)``.

    Returns
    -------
    SearchResult

    Raises
    ------
    InputError
        Arguments out of range, or a proposer that was told something before.
    ResumeError
        The archive belongs to another space, model or fitness, or another program writes it.

    Examples
    --------
    >>> from neurosparse.search import EvolutionProposer, rate_space
    >>> space = rate_space([1, 1, 2], 0.5)
    >>> def fitness(values):
    ...     return float(abs(values[0] - 0.7))
    >>> found = search(space, fitness, EvolutionProposer(space), 60, takes="values")
    >>> best = found.best.configuration
    >>> round(float(best[0]), 2), round(space.mean(best), 12)
    (0.7, 0.5)

    References
    ----------
    Self-Pruner, arXiv 2502.14413 (a language model as the proposer); EvoPress, arXiv 2410.14649.
    """
    ladder = Ladder.of(fidelities, survivors)
    size = proposer.batch if batch is None else batch
    _check(proposer, evaluations, size, takes)
    with Archive(archive, space, about) as kept:
        described = {**proposer.identity(), "batch": size, "fidelities": list(ladder.fidelities),
                     "survivors": list(ladder.survivors)}
        how = _How(fitness, takes, fidelities is not None, executor, progress)
        return _Run(space, proposer, kept, ladder, how, described).all(evaluations * ladder.top,
                                                                       size)


def _check(proposer: Proposer, evaluations: int, size: int, takes: str) -> None:
    if evaluations < 1 or size < 1 or takes not in ("budget", "values"):
        raise InputError("search", found=f"evaluations {evaluations!r}, batch {size!r}, takes "
                         f"{takes!r}", expected="at least one of each; 'budget' or 'values'")
    if proposer.told:
        raise InputError("search", found=f"a proposer that was told {proposer.told} values",
                         expected="a fresh one", mend="Make a new proposer for every run.")


class _How(NamedTuple):
    """What an evaluation is, and who does it."""

    fitness: Callable[..., float]
    takes: Takes
    with_fidelity: bool
    executor: Submits | None
    progress: Progress


class _Run:
    """One run; the same way whether a batch is new or comes from the archive."""

    def __init__(self, space: Space, proposer: Proposer, archive: Archive, ladder: Ladder,
                 how: _How, described: dict[str, Any]) -> None:
        self.space, self.proposer, self.archive = space, proposer, archive
        self.ladder, self.how = ladder, how
        text = json.dumps(described, sort_keys=True)
        self.name = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.trials: dict[tuple[str, int], Trial] = {}
        self.spent, self.repeats, self.total = 0, 0, 0
        self.least = math.inf
        archive.begin(self.name, described)

    def all(self, total: int, size: int) -> SearchResult:
        """Work until ``total`` (in the unit of the fidelities) is spent."""
        self.total = total
        stored = list(self.archive.batches(self.name))
        ended: Ended = "evaluations"
        idle = 0
        self._report()
        while (count := self.ladder.affordable(size, total - self.spent)) > 0:
            # The archive may go further than this budget, where an earlier one was larger: what
            # comes after a batch that is taken in part only is not what the proposer would say.
            last = bool(stored) and len(stored[0].configurations) > count
            configurations = (self._recalled(stored.pop(0))[:count] if stored
                              else self._asked(count))
            if not configurations:
                ended = "finished"
                break
            before = self.spent
            values = self.ladder.climb(configurations, self._measure)
            for configuration, value in zip(configurations, values, strict=True):
                self.proposer.tell(configuration, value)
            idle = idle + 1 if self.spent == before else 0
            if idle == _PATIENCE:
                ended = "repeating"
                break
            if last:
                break
        return SearchResult(self.space, list(self.trials.values()), self.ladder.top, ended,
                            self.repeats, self.name, self.proposer.notes())

    def _asked(self, count: int) -> list[Floats]:
        asked = [self.space.project(each) for each in self.proposer.ask(count)[:count]]
        if asked:
            self.archive.ask(Asked(self.name, [each.tolist() for each in asked],
                                   self.proposer.notes()))
        return asked

    def _recalled(self, batch: Asked) -> list[Floats]:
        self.proposer.recall(batch.notes)
        return [np.array(each, float) for each in batch.configurations]

    def _measure(self, configurations: list[Floats], fidelity: int) -> list[float]:
        """Values of configurations; only what the archive lacks is evaluated."""
        keys = [self.space.key(each) for each in configurations]
        missing: dict[str, Floats] = {}
        for key, each in zip(keys, configurations, strict=True):
            if self.archive.entry(key, fidelity) is None:
                missing.setdefault(key, each)
        how = self.how
        values = []
        # Closed at once, also by Ctrl-C: what was submitted and has not begun is taken back.
        with closing(outcomes(how.fitness, [self._argument(each) for each in missing.values()],
                              fidelity if how.with_fidelity else None, how.executor)) as done:
            for key, each in zip(keys, configurations, strict=True):
                entry = self.archive.entry(key, fidelity)
                if entry is None:
                    entry = Entry(self.name, key, fidelity, *next(done))
                    self.archive.add(entry)
                self._count(entry, each)
                values.append(entry.told)
        return values

    def _argument(self, configuration: Floats) -> Any:
        if self.how.takes == "values":
            return configuration.copy()
        budgets = self.space.budgets(configuration, rule=f"search:{self.proposer.name}")
        return budgets[0] if len(budgets) == 1 else budgets

    def _count(self, entry: Entry, configuration: Floats) -> None:
        if (entry.key, entry.fidelity) in self.trials:
            self.repeats += 1
            return
        self.spent += entry.fidelity
        if entry.fidelity == self.ladder.top:
            self.least = min(self.least, entry.told)
        self.trials[entry.key, entry.fidelity] = Trial(
            configuration, entry.fidelity, entry.value, entry.reason,
            self.spent / self.ladder.top, entry.run != self.name)
        self._report()

    def _report(self) -> None:
        best = "" if math.isinf(self.least) else f", best {self.least:.6g}"
        self.how.progress(f"search{best}", self.spent, self.total)
