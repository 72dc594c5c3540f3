"""The search: its budget, its cache, failures, fidelities, executors."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import search_cases as cases

from neurosparse.budgets import Budget
from neurosparse.errors import InputError, NeurosparseError
from neurosparse.search import (
    EvolutionProposer,
    RandomProposer,
    count_space,
    mean_space,
    read_archive,
    search,
)

SPACE = cases.space()


def test_no_configuration_is_evaluated_twice(tmp_path: Path) -> None:
    """On a space of 19 configurations, by proposers that repeat, and across runs."""
    space = mean_space([1, 1, 1], 2, kind="bits", lower=0, upper=4)
    calls: Counter[tuple[float, ...]] = Counter()

    def counted(values: np.ndarray) -> float:
        calls[tuple(values.tolist())] += 1
        return float(np.sum((values - [4, 2, 0]) ** 2))

    path = tmp_path / "a.jsonl"
    first = search(space, counted, RandomProposer(space, seed=1, spread=(0.3, 0.5)), 500,
                   takes="values", archive=path)
    assert first.ended == "repeating" and first.repeats > 0
    assert set(calls.values()) == {1} and len(calls) == len(first.trials) <= 19
    assert first.value == 0 and first.best.configuration.tolist() == [4, 2, 0]
    second = search(space, counted, RandomProposer(space, seed=2, spread=(0.3, 0.5)), 10,
                    takes="values", archive=path)
    assert set(calls.values()) == {1}
    # They count all the same: proposers are compared at equal budgets.
    assert len(second.trials) == 10 and second.shared >= 8
    alone = search(space, counted, RandomProposer(space, seed=2, spread=(0.3, 0.5)), 10,
                   takes="values")
    assert alone.shared == 0 and np.array_equal(alone.values(), second.values())


@pytest.mark.parametrize("evaluations", [1, 7, 30])
def test_the_budget_is_kept(evaluations: int) -> None:
    calls = []
    found = search(SPACE, lambda v: calls.append(v) or cases.plain(v),  # type: ignore[func-returns-value]
                   EvolutionProposer(SPACE), evaluations, takes="values")
    assert len(calls) == evaluations == len(found.trials) == found.spent
    assert found.ended == "evaluations"


def test_a_larger_budget_goes_on_and_a_smaller_one_evaluates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    calls: list[Any] = []

    def counted(values: np.ndarray) -> float:
        calls.append(values)
        return cases.plain(values)

    for evaluations, called in ((12, 12), (20, 20), (6, 20), (7, 20), (2, 20)):
        found = search(SPACE, counted, RandomProposer(SPACE, seed=1), evaluations, takes="values",
                       archive=path, batch=3)
        # Seven ends inside the third batch, two inside the first.
        assert len(calls) == called and len(found.trials) == evaluations


@pytest.mark.parametrize(("bad", "reason"), [
    (math.nan, "returned nan"), (math.inf, "returned inf"), (-math.inf, "returned -inf"),
    (None, "returned a NoneType"), ("12 bits", "returned a str"),
    (ValueError("too sparse"), "ValueError: too sparse"), (MemoryError(), "MemoryError"),
])
@pytest.mark.parametrize("name", ["evolution", "cma", "tpe", "golden"])
def test_a_failure_is_counted_and_not_fatal(name: str, bad: Any, reason: str,
                                            tmp_path: Path) -> None:
    def fitness(values: np.ndarray) -> Any:
        calls.append(values)
        if len(calls) % 3 != 2:
            return cases.plain(values)
        if isinstance(bad, Exception):
            raise bad
        return bad

    calls: list[Any] = []
    path = tmp_path / "a.jsonl"
    found = search(SPACE, fitness, cases.proposer(name), 11, takes="values", archive=path)
    failed = [trial for trial in found.trials if trial.value is None]
    assert len(found.trials) == 11 and found.failed == 4
    assert all(str(trial.reason).startswith(reason) for trial in failed)
    assert math.isfinite(found.value)
    search(SPACE, fitness, cases.proposer(name), 11, takes="values", archive=path)
    assert len(calls) == 11  # not tried again


def test_when_all_fail_the_reason_is_said() -> None:
    found = search(SPACE, lambda b: 1 / 0, RandomProposer(SPACE), 3)
    assert found.failed == 3
    with pytest.raises(NeurosparseError, match="all failed: ZeroDivisionError"):
        _ = found.best


def test_the_fitness_gets_a_budget_by_default() -> None:
    seen: list[Any] = []
    space = count_space([9] * 3 + [99] * 3, [50] * 3 + [4] * 3, 0.3,
                        kinds=["heads"] * 3 + ["neurons"] * 3, names=list("abcabc"))
    search(space, lambda budgets: seen.append(budgets) or 1.0, RandomProposer(space), 2)  # type: ignore[func-returns-value]
    assert [budget.kind for budget in seen[0]] == ["heads", "neurons"]
    search(SPACE, lambda budget: seen.append(budget) or 1.0, RandomProposer(SPACE), 2)  # type: ignore[func-returns-value]
    assert isinstance(seen[-1], Budget) and seen[-1].rule.name == "search:random"
    assert seen[-1].mean() == pytest.approx(0.3, abs=1e-12)


class Backwards:
    """An executor that finishes a batch of four in the wrong order."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, fn, args))
        if len(self.waiting) == 4:
            for each, function, arguments in reversed(self.waiting):
                each.set_result(function(*arguments))
            self.waiting.clear()
        return future


def test_the_archive_does_not_depend_on_the_executor(tmp_path: Path) -> None:
    archives = []
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(1) as processes:
        for number, executor in enumerate((None, threads, processes, Backwards())):
            archives.append(tmp_path / f"{number}.jsonl")
            search(SPACE, cases.plain, EvolutionProposer(SPACE), 12, takes="values",
                   archive=archives[-1], executor=executor, batch=4)
    assert len({path.read_bytes() for path in archives}) == 1


def deadly(values: np.ndarray) -> float:
    os._exit(1)


def test_a_dead_worker_is_no_failure_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with ProcessPoolExecutor(1) as processes, pytest.raises(BrokenExecutor) as caught:
        search(SPACE, deadly, RandomProposer(SPACE), 4, takes="values", archive=path,
               executor=processes)
    assert "in the archive" in caught.value.__notes__[0]
    assert not read_archive(path).entries
    found = search(SPACE, cases.plain, RandomProposer(SPACE), 4, takes="values", archive=path)
    assert found.failed == 0


class KilledWorker(Exception):
    """What dask.distributed says when workers died under a task, by its name."""


def test_a_dead_dask_worker_is_none_either(tmp_path: Path) -> None:
    class Dying:
        def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(KilledWorker("measured", "tcp://127.0.0.1:1"))
            return future

    path = tmp_path / "a.jsonl"
    with pytest.raises(KilledWorker) as caught:
        search(SPACE, cases.plain, RandomProposer(SPACE), 4, takes="values", archive=path,
               executor=Dying())
    assert "in the archive" in caught.value.__notes__[0]
    assert not read_archive(path).entries


def noisy(values: np.ndarray, fidelity: int) -> float:
    """Less windows, more noise; the same noise for the same configuration."""
    rng = np.random.default_rng([fidelity, *np.rint(np.asarray(values) * 1e6).astype(int)])
    return cases.plain(values) + 0.3 * rng.standard_normal() / fidelity


def test_fidelities_spend_the_budget_where_it_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    asked: dict[str, Any] = {"takes": "values", "fidelities": (1, 4, 16), "survivors": (4, 2),
                             "batch": 12}
    found = search(SPACE, noisy, EvolutionProposer(SPACE, seed=1), 30, **asked, archive=path)
    counts = Counter(trial.fidelity for trial in found.trials)
    assert sum(fidelity * n for fidelity, n in counts.items()) / 16 == found.spent <= 30
    assert counts[1] > counts[4] > counts[16] > 0
    assert found.best.fidelity == 16
    # A batch of twelve costs 12 + 4 * 4 + 2 * 16 = 60 windows of 480: eight batches, no more.
    assert found.spent > 29 - 60 / 16
    # What is told of a batch has the order in which it was eliminated.
    again = search(SPACE, noisy, EvolutionProposer(SPACE, seed=1), 30, **asked, archive=path)
    assert np.array_equal(again.values(), found.values())


def test_those_that_fall_out_keep_their_order_behind_the_survivors() -> None:
    told: list[float] = []

    class Spy(RandomProposer):
        def tell(self, configuration: np.ndarray, value: float) -> None:
            told.append(value)
            super().tell(configuration, value)

    low = iter([5.0, 1.0, 4.0, math.nan, 2.0])
    high = iter([30.0, 10.0])
    search(SPACE, lambda v, fidelity: next(high if fidelity == 4 else low), Spy(SPACE), 4,
           takes="values", fidelities=(1, 4), survivors=(2,), batch=5)
    assert told[:5] == [33.0, 30.0, 32.0, math.inf, 10.0]


def test_progress_says_the_best_so_far() -> None:
    seen: list[tuple[str, int, int]] = []
    values = iter([3.0, 5.0, 2.5])
    search(SPACE, lambda b: next(values), RandomProposer(SPACE), 3,
           progress=lambda *step: seen.append(step))
    assert seen == [("search", 0, 3), ("search, best 3", 1, 3), ("search, best 3", 2, 3),
                    ("search, best 2.5", 3, 3)]


@pytest.mark.parametrize(("change", "named"), [
    ({"evaluations": 0}, "evaluations 0"), ({"batch": 0}, "batch 0"), ({"takes": "x"}, "takes"),
    ({"fidelities": (4, 1), "survivors": (2,)}, "fidelities"),
    ({"fidelities": (1, 4)}, "survivors"), ({"survivors": (2,)}, "survivors"),
])
def test_bad_input_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        search(SPACE, cases.plain, RandomProposer(SPACE), **{"evaluations": 3, **change})


def test_a_proposer_is_used_once() -> None:
    used = RandomProposer(SPACE)
    search(SPACE, cases.plain, used, 3, takes="values")
    with pytest.raises(InputError, match="told 3 values"):
        search(SPACE, cases.plain, used, 3, takes="values")
