"""ATP equation 10: mean, bounds, grid counts, the optimum of its own toy theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.budgets import Profile, allocate, arithmetic, progression, step_bounds
from neurosparse.errors import BudgetError


@given(st.integers(2, 100), st.floats(0.01, 0.99), st.floats(-1, 1))
def test_mean_is_exact_for_every_legal_step(layers: int, sparsity: float, part: float) -> None:
    least, greatest = step_bounds(layers, sparsity)
    rates = progression(layers, sparsity, part * greatest if part > 0 else -part * least)
    assert abs(rates.mean() - sparsity) <= 1e-12
    assert np.all((rates >= 0) & (rates <= 1))


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=40), st.floats(0.05, 0.95),
       st.floats(0, 1))
def test_weighted_mean_with_sizes(sizes: list[int], sparsity: float, part: float) -> None:
    step = part * step_bounds(len(sizes), sparsity, sizes=sizes)[1]
    rates = progression(len(sizes), sparsity, step, sizes=sizes)
    assert abs(np.average(rates, weights=sizes) - sparsity) <= 1e-12
    assert np.allclose(np.diff(rates), step, atol=1e-9)


@pytest.mark.parametrize(("sparsity", "end", "value"), [(0.3, 0, 0.0), (0.7, -1, 1.0)])
def test_the_bound_is_reached_exactly(sparsity: float, end: int, value: float) -> None:
    rates = progression(32, sparsity, step_bounds(32, sparsity)[1])
    assert rates[end] == pytest.approx(value, abs=1e-12)


def test_the_papers_bounds_and_trial_counts() -> None:
    """min(2S, 2(1-S))/(L-1): 9 trials of 0.002 for L=32, S=0.7, 3 for L=80 (papers.md 2c)."""
    assert step_bounds(32, 0.7)[1] == pytest.approx(0.6 / 31)
    assert int(step_bounds(32, 0.7)[1] / 0.002) == 9
    assert int(step_bounds(80, 0.7)[1] / 0.002) == 3


def test_equation_ten_term_by_term() -> None:
    rates = progression(32, 0.7, 0.01)
    for i in range(1, 33):
        assert rates[i - 1] == pytest.approx(0.7 - 0.01 * 31 / 2 + 0.01 * (i - 1), abs=1e-14)


def test_an_illegal_step_is_refused_with_the_legal_interval() -> None:
    with pytest.raises(BudgetError, match=r"0\.0193548"):
        arithmetic(32, 0.7, 0.02)
    with pytest.raises(BudgetError, match="sparsity"):
        arithmetic(32, 1.0, 0.001)


def test_ascending_is_best_for_a_fixed_multiset() -> None:
    """Rearrangement inequality, the true content of theorem 3.5, for any c > 0."""
    rng = np.random.default_rng(0)
    for c in (0.5, 1.01, 1.3):
        layers = 8
        weights = np.array([sum(c**k for k in range(layers - i)) for i in range(layers)])
        rates = progression(layers, 0.6, 0.05)
        best = float(weights @ rates**2)
        shuffles = (rng.permutation(rates) for _ in range(500))
        assert all(float(weights @ s**2) >= best - 1e-12 for s in shuffles)


def test_theorem_3_5_as_worded_is_false() -> None:
    """L=32, S=0.7, c=1.01, f=s^2: a steeper progression with its middle swapped costs less."""
    layers, c = 32, 1.01
    weights = np.array([(c ** (layers - i) - 1) / (c - 1) for i in range(layers)])
    gentle = progression(layers, 0.7, 1e-4)
    steep = progression(layers, 0.7, step_bounds(layers, 0.7)[1])
    steep[[15, 16]] = steep[[16, 15]]
    assert float(weights @ gentle**2) == pytest.approx(287.1, abs=0.05)
    assert float(weights @ steep**2) < float(weights @ gentle**2)


def _profile(sizes: list[int]) -> Profile:
    n = len(sizes)
    return Profile([f"layers.{i // 2}.{'ab'[i % 2]}" for i in range(n)], np.array(sizes),
                   np.arange(n) // 2, ["ab"[i % 2] for i in range(n)], np.ones(n))


def test_rule_gives_all_linears_of_a_block_its_rate() -> None:
    budget = allocate(_profile([10, 30, 5, 5, 20, 20]), 0.5, rule="arithmetic", step=0.1)
    rates = budget.rates
    assert np.allclose(rates[0::2], rates[1::2])
    assert np.allclose(np.diff(rates[::2]), 0.1)
    assert abs(budget.mean() - 0.5) <= 1e-12


def test_allocate_refuses_what_it_does_not_know() -> None:
    profile = _profile([4, 4])
    with pytest.raises(BudgetError, match="one of"):
        allocate(profile, 0.5, rule="owl2")
    with pytest.raises(BudgetError, match="step"):
        allocate(profile, 0.5, rule="arithmetic")
    with pytest.raises(BudgetError, match="options"):
        allocate(profile, 0.5, rule="uniform", step=0.1)
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(BudgetError, match="sparsity"):
            allocate(profile, wrong)
