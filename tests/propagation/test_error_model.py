"""The error model: its best budget against the allocator, and the step that it predicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.budgets import progression, separable
from neurosparse.errors import InputError
from neurosparse.propagation import ErrorModel, fit_errors, predicted_step


@given(st.floats(-0.1, 0.1), st.floats(4, 12), st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_equal_marginals_are_a_progression_of_the_predicted_step(
    kappa: float, k: float, layers: int
) -> None:
    """theory.md section 2, against the allocator, which knows nothing of progressions."""
    index = np.arange(layers)
    # The fall may come from gains and from errors; only the product counts.
    model = ErrorModel(-0.3 * kappa * index, k, -0.7 * kappa * index)
    step = predicted_step(kappa, k)
    assert model.kappa == pytest.approx(kappa, abs=1e-12)
    if abs(step) * (layers - 1) > 0.7:
        return
    levels = np.linspace(0.02, 0.99, 20)
    costs = np.exp(model.log_gains + model.log_errors)[:, None] * np.exp(k * levels)
    found = separable(levels, costs, np.ones(layers), 0.6)
    assert np.allclose(np.diff(found), step, atol=1e-6)
    assert np.allclose(found, progression(layers, 0.6, step), atol=1e-6)
    assert np.allclose(found, model.rates(0.6), atol=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_best_rates_do_equal_damage_and_beat_transfers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = ErrorModel(rng.normal(size=6), 8.0, 0.3 * rng.normal(size=6))
    try:
        best = model.rates(0.5)
    except InputError:
        return
    assert best.mean() == pytest.approx(0.5)
    single = np.exp(model.log_gains + model.log_errors + 8.0 * best)
    assert np.allclose(single, single[0])
    i, j = rng.choice(6, 2, replace=False)
    other = best.copy()
    other[i] += 1e-3
    other[j] -= 1e-3
    assert model.damage(best) < model.damage(other)


def test_step_of_pure_amplification_is_log_c_over_k() -> None:
    """Last layer's error only: g_l = c^(L-l)."""
    c, k, layers = 1.05, 9.0, 20
    model = ErrorModel(np.zeros(layers), k, np.log(c) * np.arange(layers, 0, -1))
    assert model.step == pytest.approx(math.log(c) / k)
    assert np.allclose(np.diff(model.rates(0.5)), math.log(c) / k)


def test_fit_recovers_the_model_and_says_how_well() -> None:
    rng = np.random.default_rng(0)
    a, levels, gains = rng.lognormal(size=5), np.array([0.4, 0.5, 0.6, 0.8]), rng.lognormal(size=5)
    curves = a[:, None] * np.exp(6.5 * levels)
    exact = fit_errors(levels, curves, gains)
    assert np.allclose(exact.log_errors, np.log(a))
    assert np.allclose(exact.log_gains, np.log(gains))
    assert exact.slope == pytest.approx(6.5)
    assert exact.residual < 1e-12
    noisy = fit_errors(levels, curves * np.exp(0.1 * rng.normal(size=curves.shape)))
    assert 0.02 < noisy.residual < 0.2
    assert exact.damage(np.full(5, 0.5)) == pytest.approx(gains @ a * math.exp(3.25))


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="grow with the rate"):
        predicted_step(0.1, 0.0)
    with pytest.raises(InputError, match="finite"):
        predicted_step(math.nan, 1.0)
    with pytest.raises(InputError, match="grow with the rate"):
        fit_errors([0.1, 0.2], [[2.0, 1.0]])
    with pytest.raises(InputError, match="positive"):
        fit_errors([0.1, 0.2], [[0.0, 1.0]])
    with pytest.raises(InputError, match="two different levels"):
        fit_errors([0.1], [[1.0]])
    with pytest.raises(InputError, match="separable"):
        ErrorModel(np.array([0.0, 9.0]), 1.0, np.zeros(2)).rates(0.5)
    with pytest.raises(InputError, match="one finite number"):
        ErrorModel(np.zeros(2), 1.0, np.zeros(3))
    with pytest.raises(InputError, match="rates of shape"):
        ErrorModel(np.zeros(2), 1.0, np.zeros(2)).damage([0.5])
