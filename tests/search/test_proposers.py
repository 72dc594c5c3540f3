"""Proposers against a fitness whose optimum is known, and their options."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import search_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.errors import BudgetError, InputError, MissingExtraError
from neurosparse.search import (
    CmaProposer,
    EvolutionProposer,
    LineProposer,
    LlmProposer,
    Patient,
    RandomProposer,
    Synthetic,
    TpeProposer,
    count_space,
    make_proposer,
    mean_space,
    rate_space,
    regret,
    regrets,
    search,
)
from neurosparse.search.proposers.operators import crossover, gaussian, level_switch

SPACE = rate_space([100 + 7 * i for i in range(24)], 0.3)
SEEDS, EVALUATIONS = 20, 60


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.booleans())
@settings(max_examples=40)
def test_the_optimum_of_the_synthetic_fitness(seed: int, sparsity: float, narrow: bool) -> None:
    """papers.md 4 (f) 2: no feasible direction leads down, inside the box or at its edge."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    bound = 0.5 * min(sparsity, 1 - sparsity) if narrow else 1.0
    space = rate_space(rng.integers(1, 99, n).tolist(), sparsity,
                       lower=max(sparsity - bound, 0), upper=min(sparsity + bound, 1))
    fitness = Synthetic(space, rng.lognormal(size=n), rng.uniform(2, 12))
    assert space.holds(fitness.optimum) and fitness(fitness.optimum) == pytest.approx(1)
    for _ in range(20):
        assert fitness(space.project(fitness.optimum + rng.normal(0, 0.05, n))) >= 1 - 1e-12
    if not narrow and np.all((fitness.optimum > 0) & (fitness.optimum < 1)) and \
            np.ptp(space.sizes) == 0:
        logs = np.log(fitness.weights)
        assert np.allclose(fitness.optimum,
                           sparsity + (logs.mean() - logs) / fitness.steepness, atol=1e-9)


def test_the_closed_form_for_equal_sizes() -> None:
    space = rate_space([5] * 6, 0.5)
    fitness = Synthetic.random(space, seed=0, spread=0.5)
    logs = np.log(fitness.weights)
    assert np.allclose(fitness.optimum, 0.5 + (logs.mean() - logs) / 9.0, atol=1e-12)
    with pytest.raises(InputError, match="weights"):
        Synthetic(space, [1.0] * 5 + [0.0])


def test_regret_is_the_best_so_far() -> None:
    assert regret([[3.0, np.inf, 2.0, 2.5]]).tolist() == [[2.0, 2.0, 1.0, 1.0]]


@pytest.fixture(scope="module")
def random_regret() -> np.ndarray:
    return regrets(SPACE, lambda seed: RandomProposer(SPACE, seed=seed), EVALUATIONS, SEEDS)


def _beats(found: np.ndarray, control: np.ndarray) -> float:
    """How many paired standard errors the last regret is below the control's."""
    gap = control[:, -1] - found[:, -1]
    return float(gap.mean() / (gap.std(ddof=1) / np.sqrt(len(gap))))


@pytest.mark.parametrize("options", [
    {}, {"selection": "roulette"}, {"switching": 1.0, "crossing": 0.0},
    {"population": 6, "crossing": 0.8},
])
def test_evolution_beats_random(options: dict[str, Any], random_regret: np.ndarray) -> None:
    found = regrets(SPACE, lambda seed: EvolutionProposer(SPACE, seed=seed, **options),
                    EVALUATIONS, SEEDS)
    assert np.all(np.diff(found) <= 0) and np.all(found >= -1e-12)
    assert np.array_equal(found[:, 0], random_regret[:, 0])  # all begin with the even one
    assert _beats(found, random_regret) > 3


def test_cma_beats_random(random_regret: np.ndarray) -> None:
    pytest.importorskip("cma")
    found = regrets(SPACE, lambda seed: CmaProposer(SPACE, seed=seed), EVALUATIONS, SEEDS)
    assert _beats(found, random_regret) > 3


def test_a_line_gains_what_lies_on_it_and_no_more() -> None:
    """ATP's line against evolution on weights without order, and on weights that fall in depth."""
    line = regrets(SPACE, lambda seed: LineProposer(SPACE), EVALUATIONS, SEEDS)
    free = regrets(SPACE, lambda seed: EvolutionProposer(SPACE, seed=seed), EVALUATIONS, SEEDS)
    assert np.array_equal(line[:, 0], free[:, 0]) and _beats(free, line) > 3
    falling = Synthetic(SPACE, np.exp(-0.1 * np.arange(len(SPACE))))
    found = search(SPACE, falling, LineProposer(SPACE), EVALUATIONS, takes="values")
    assert found.value - 1 < 0.05 * (falling(SPACE.even()) - 1)


def test_a_language_model_without_sense_is_a_search_by_mutation(random_regret: np.ndarray) -> None:
    found = regrets(SPACE, lambda seed: LlmProposer(
        SPACE, Patient(lambda _prompt: "No.", backoff=0), seed=seed, retries=0), EVALUATIONS, SEEDS)
    assert np.array_equal(found[:, 0], random_regret[:, 0]) and np.all(np.diff(found) <= 0)
    assert _beats(found, found[:, :1]) > 3


def test_tpe_beats_random_where_there_are_few_units() -> None:
    pytest.importorskip("optuna")
    space = rate_space(cases.SIZES[:8], 0.3)
    control = regrets(space, lambda seed: RandomProposer(space, seed=seed), 40, 10)
    found = regrets(space, lambda seed: TpeProposer(space, seed=seed), 40, 10)
    assert np.array_equal(found[:, 0], control[:, 0])
    assert _beats(found, control) > 3


def test_a_language_model_that_knows_is_the_ceiling(random_regret: np.ndarray) -> None:
    found = []
    for seed in range(3):
        fitness = Synthetic.random(SPACE, seed=seed)
        patient = Patient(cases.Ideal(fitness.optimum), backoff=0)
        asked = LlmProposer(SPACE, patient, seed=seed, numbers=None)
        result = search(SPACE, fitness, asked, EVALUATIONS, takes="values")
        found.append(result.value - 1)
    assert max(found) < 0.2 * random_regret[:3, -1].min()


def test_a_better_start_is_never_lost() -> None:
    fitness = Synthetic.random(SPACE, seed=0)
    start = SPACE.project(fitness.optimum + 0.01)
    for name in ("random", "evolution"):
        found = search(SPACE, fitness, make_proposer(name, SPACE, start=[start, SPACE.even()]), 20,
                       takes="values")
        assert np.array_equal(found.trials[0].configuration, start)
        assert found.value <= fitness(start)


def test_the_line_on_a_grid_is_every_step_of_atp() -> None:
    space = rate_space([1] * 10, 0.5)
    proposer = LineProposer(space, step=0.01)
    found = search(space, lambda v: (v[1] - v[0] - 0.07) ** 2, proposer, 100, takes="values")
    steps = [trial.configuration[1] - trial.configuration[0] for trial in found.trials]
    assert np.allclose(steps, np.arange(12) * 0.01)  # the bound is 1 / 9
    assert found.ended == "finished"
    assert found.best.configuration[1] - found.best.configuration[0] == pytest.approx(0.07)


def test_golden_section_finds_the_step() -> None:
    space = rate_space([1] * 10, 0.5)
    for best in (-0.043, 0.0, 0.0617, 0.2):
        proposer = LineProposer(space, method="golden", negative=True, step=1e-3)
        found = search(space, lambda v, best=best: (v[1] - v[0] - best) ** 2, proposer, 100,
                       takes="values")
        step = found.best.configuration[1] - found.best.configuration[0]
        assert step == pytest.approx(min(best, 1 / 9), abs=1e-3)
        assert found.ended == "finished" and len(found.trials) < 20


def test_a_line_over_linears_and_over_heads() -> None:
    space = rate_space([3, 4, 5, 6], 0.5)
    found = LineProposer(space, position=[0, 0, 1, 1]).at(0.1)
    assert found[0] == pytest.approx(found[1]) and found[2] - found[0] == pytest.approx(0.1)
    heads = count_space([9] * 6, [10] * 6, 0.3)
    tilted = LineProposer(heads, step=0.02).at(0.1)
    assert tilted.sum() == heads.even().sum() and np.all(np.diff(tilted) >= 0)
    assert tilted[-1] > tilted[0]


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_operators_give_configurations_and_move(seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    space = mean_space([1] * 6, 4, kind="bits", lower=2, upper=8) if whole else SPACE
    one, other = (space.project(rng.uniform(0, 8, len(space))) for _ in range(2))
    for found in (gaussian(space, one, 0.1, rng), crossover(space, one, other, rng),
                  level_switch(space, one, 0.05, rng)):
        assert space.holds(found)
    switched = level_switch(space, space.even(), 0.05, rng)
    assert 2 <= np.sum(np.abs(switched - space.even()) > 1e-9) <= 6


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("cma", "cma"), ("optuna", "tpe")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=r'pip install "neurosparse\[search\]"'):
            make_proposer(name, SPACE)


@pytest.mark.parametrize(("name", "options", "named"), [
    ("tabu", {}, "proposer 'tabu'"), ("random", {"sigma": 3}, "sigma"),
    ("random", {"seed": -1}, "seed -1"), ("evolution", {"crossing": 1.5}, "crossing 1.5"),
    ("evolution", {"population": 0}, "population 0"), ("line", {"step": 0.0}, "step 0.0"),
    ("line", {"position": [1, 2]}, "position"), ("llm", {}, "complete"),
    ("llm", {"complete": "no"}, "callable"),
    ("llm", {"complete": str, "parents": 1}, "parents 1"),
    ("llm", {"complete": str, "order": [0] * 24}, "permutation"),
])
def test_bad_options_are_named(name: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        make_proposer(name, SPACE, **options)
    with pytest.raises(BudgetError, match="finite"):
        RandomProposer(SPACE, start=[[np.nan] * 24])
