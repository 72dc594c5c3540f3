"""The recursion of ATP: closed forms, the rearrangement, the progression's best step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.budgets import progression, step_bounds
from neurosparse.errors import InputError
from neurosparse.propagation import (
    best_square_rates,
    best_square_step,
    depth_weights,
    equal_mean,
    swap_gain,
    theorem_35,
    total_error,
)

seeds = st.integers(0, 2**32 - 1)


def square(s: float) -> float:
    return s * s


def test_the_counterexample_to_35_has_the_numbers_of_the_theory() -> None:
    found = equal_mean()
    assert found.right == pytest.approx(287.1, abs=0.05)
    assert found.left == pytest.approx(219.9, abs=0.05)


@given(st.integers(1, 40), st.floats(0.5, 1.5), seeds)
def test_weights_unroll_the_recursion(layers: int, c: float, seed: int) -> None:
    s = np.random.default_rng(seed).random(layers)
    w = depth_weights(layers, c)
    assert np.all(np.diff(w) < 0)
    assert total_error(s, c, square) == pytest.approx(float(w @ s**2), rel=1e-11)
    if abs(c - 1) > 1e-3:
        closed = (c ** np.arange(layers, 0, -1) - 1) / (c - 1)
        assert np.allclose(w, closed, rtol=1e-9)


def test_no_permutation_of_a_progression_is_better() -> None:
    """papers.md 2 (f) 2: 2000 random permutations."""
    rates, rng = progression(32, 0.7, 0.01), np.random.default_rng(0)
    for _ in range(2000):
        best, given_order = theorem_35(rng.permutation(rates), 1.01, square)
        assert best <= given_order


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.2, 2), st.floats(0, 8))
@settings(deadline=None)
def test_35_for_rising_errors_of_any_steepness(rates: list[float], c: float, k: float) -> None:
    best, other = theorem_35(rates, c, lambda s: math.exp(k * s))
    assert best <= other * (1 + 1e-12)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.2, 2))
def test_swap_identity(a: float, b: float, c: float) -> None:
    saved = total_error([a, b], c, square) - total_error([b, a], c, square)
    assert saved == pytest.approx(swap_gain(a, b, c, square), abs=1e-12)


@given(st.integers(2, 40), st.floats(0.05, 0.95), st.floats(0.8, 1.3))
@settings(max_examples=40, deadline=None)
def test_best_step_beats_its_neighbours(layers: int, sparsity: float, c: float) -> None:
    step = best_square_step(layers, sparsity, c)
    least, greatest = step_bounds(layers, sparsity)
    assert least - 1e-12 <= step <= greatest + 1e-12
    best = total_error(progression(layers, sparsity, step), c, square)
    for other in np.linspace(least, greatest, 9):
        rates = progression(layers, sparsity, float(other))
        assert best <= total_error(rates, c, square) * (1 + 1e-9)


@given(st.integers(1, 20), st.floats(0, 1), st.floats(0.7, 1.4), seeds)
@settings(deadline=None)
def test_best_rates_keep_the_mean_and_no_transfer_helps(
    layers: int, sparsity: float, c: float, seed: int
) -> None:
    s = best_square_rates(layers, sparsity, c)
    assert abs(s.mean() - sparsity) <= 1e-12
    assert np.all((s >= 0) & (s <= 1 + 1e-12))
    i, j = np.random.default_rng(seed).integers(0, layers, 2)
    move = min(1e-3, s[i], 1 - s[j])
    if i != j and move > 0:
        other = s.copy()
        other[i], other[j] = s[i] - move, s[j] + move
        w = depth_weights(layers, c)
        assert w @ s**2 <= (w @ other**2) * (1 + 1e-12)


def test_grid_of_the_paper_has_nine_trials_and_three() -> None:
    """papers.md 2 (f) 1: bounds 0.01935 and 0.0076, grid 0.002, 0.004, ..."""
    for layers, trials in ((32, 9), (80, 3)):
        assert math.floor(step_bounds(layers, 0.7)[1] / 0.002) == trials
    at_bound = progression(32, 0.7, step_bounds(32, 0.7)[1])
    assert at_bound[-1] == pytest.approx(1.0, abs=1e-12)
    low = progression(32, 0.3, step_bounds(32, 0.3)[1])
    assert low[0] == pytest.approx(0.0, abs=1e-12)
    assert abs(at_bound.mean() - 0.7) <= 1e-12


def test_conditions_are_asked_for() -> None:
    with pytest.raises(InputError, match="not decreasing"):
        theorem_35([0.1, 0.9], 1.1, lambda s: -s)
    with pytest.raises(InputError, match="above zero"):
        depth_weights(3, 0.0)
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        total_error([0.1, 1.2], 1.1, square)
    with pytest.raises(InputError, match="two layers"):
        best_square_step(1, 0.5, 1.1)
    with pytest.raises(InputError, match="rate in"):
        best_square_rates(3, 1.5, 1.1)
