"""The allocator against exact answers: equal marginal costs, brute force, analytic progressions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.budgets import exact_counts, exact_mean, integers, separable
from neurosparse.errors import BudgetError

rates = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(rates, st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_exact_mean_is_exact_and_inside(values: list[float], total: float, seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 10**8, len(values))
    found = exact_mean(values, sizes, total)
    assert abs(np.average(found, weights=sizes) - total) <= 1e-12
    assert np.all((found >= 0) & (found <= 1))


@given(rates, st.integers(0, 2**32 - 1))
def test_exact_mean_leaves_what_is_right(values: list[float], seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 1000, len(values))
    total = float(np.average(values, weights=sizes))
    assert np.allclose(exact_mean(values, sizes, total), values, atol=1e-9)


def test_exact_mean_keeps_the_order_and_refuses_the_impossible() -> None:
    assert np.all(np.diff(exact_mean([0.1, 0.5, 0.9], [1, 2, 3], 0.8)) >= 0)
    with pytest.raises(BudgetError, match="mean"):
        exact_mean([0.5, 0.5], [1, 1], 0.9, upper=0.8)


@pytest.mark.parametrize("kappa", [0.02, 0.05, -0.03])
def test_exponential_costs_give_an_arithmetic_progression(kappa: float) -> None:
    """theory.md section 2: eps = a_l exp(k s), log a falling by kappa a layer: step kappa / k."""
    slope, layers = 9.0, 30
    levels = np.linspace(0.2, 0.98, 20)
    costs = np.exp(slope * levels)[None] * np.exp(-kappa * np.arange(layers))[:, None]
    found = separable(levels, costs, np.ones(layers), 0.6)
    assert np.allclose(np.diff(found), kappa / slope, rtol=1e-6)
    assert abs(found.mean() - 0.6) <= 1e-12


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
@settings(max_examples=40, deadline=None)
def test_optimum_has_equal_marginals_and_beats_its_neighbours(seed: int, total: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    gain, power = rng.lognormal(size=n), rng.uniform(2, 9, n)
    sizes = rng.integers(1, 100, n)

    def cost(s: np.ndarray) -> float:
        return float(np.sum(gain * np.exp(power * s)))

    levels = np.linspace(0, 1, 11)
    table = gain[:, None] * np.exp(power[:, None] * levels)
    best = separable(levels, table, sizes, total)
    assert abs(np.average(best, weights=sizes) - total) <= 1e-12
    marginal = gain * power * np.exp(power * best) / sizes
    inside = (best > 1e-9) & (best < 1 - 1e-9)
    if inside.sum() > 1:
        assert np.ptp(np.log(marginal[inside])) < 5e-3
    for a, b in itertools.permutations(range(n), 2):
        moved = best.copy()
        step = 0.01 * min(sizes[a], sizes[b])
        moved[a] += step / sizes[a]
        moved[b] -= step / sizes[b]
        if np.all((moved >= 0) & (moved <= 1)):
            assert cost(moved) >= cost(best) * (1 - 1e-9)


def test_square_costs_follow_the_closed_form() -> None:
    """w_l s^2: s_l proportional to 1 / w_l (papers.md section 2), inside the box."""
    weights = np.array([1.0, 1.3, 1.7, 2.0])
    levels = np.linspace(0.02, 1, 400)
    found = separable(levels, weights[:, None] * levels**2, np.ones(4), 0.4)
    expected = (1 / weights) / np.mean(1 / weights) * 0.4
    assert np.allclose(found, expected, atol=2e-4)


def test_costs_that_are_not_convex_use_their_hull() -> None:
    """A cost with a dent is never better used between the ends of the dent than at them."""
    levels = np.linspace(0, 1, 5)
    dented = np.array([1.0, 5.0, 5.5, 5.8, 6.0])
    convex = np.array([1.0, 1.5, 2.5, 4.5, 9.0])
    found = separable(levels, np.stack([dented, convex]), [1, 1], 0.5)
    assert abs(found.mean() - 0.5) <= 1e-12


def test_bounds_hold() -> None:
    levels = np.linspace(0, 1, 5)
    costs = np.exp(np.array([[9.0], [1.0]]) * levels)
    found = separable(levels, costs, [1, 1], 0.5, lower=0.3, upper=0.7)
    assert np.allclose(found, [0.3, 0.7])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_integers_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    costs = [np.concatenate([[0.0], np.cumsum(np.sort(rng.normal(size=rng.integers(1, 5))))])
             for _ in range(n)]
    total = int(rng.integers(0, sum(len(c) - 1 for c in costs) + 1))
    found = integers(costs, total)
    assert found.sum() == total
    best = min(sum(c[k] for c, k in zip(costs, counts, strict=True))
               for counts in itertools.product(*[range(len(c)) for c in costs])
               if sum(counts) == total)
    assert sum(c[k] for c, k in zip(costs, found, strict=True)) == pytest.approx(best)


def test_integers_refuse_what_greedy_cannot_solve() -> None:
    with pytest.raises(BudgetError, match="not convex"):
        integers([np.array([0.0, 3.0, 4.0])], 1)
    with pytest.raises(BudgetError, match="total"):
        integers([np.array([0.0, 1.0])], 2)


@given(rates, st.integers(0, 2**32 - 1))
def test_counts_sum_exactly_and_are_nearest(values: list[float], seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 10**6, len(values))
    total = round(float(np.dot(values, sizes)))
    counts = exact_counts(values, sizes, total)
    assert counts.sum() == total
    assert np.all((counts >= 0) & (counts <= sizes))
    assert np.all(np.abs(counts - np.array(values) * sizes) < 1 + 1e-9)


def test_counts_refuse_a_total_that_rounding_does_not_explain() -> None:
    with pytest.raises(BudgetError, match="count"):
        exact_counts([0.5, 0.5], [10, 10], 16)
