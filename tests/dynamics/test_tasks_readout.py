"""Readouts: ridge regression against its normal equations, scores against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.dynamics.tasks import RecursiveLeastSquares, fit_readout, score
from neurosparse.dynamics.tasks.readout import score_error
from neurosparse.errors import InputError


@given(st.integers(0, 99), st.integers(1, 12), st.integers(5, 30), st.floats(-8, 2))
def test_ridge_solves_the_normal_equations(seed: int, size: int, times: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    X, S = rng.standard_normal((times, size)) + 3.0, rng.standard_normal((times, 2)) - 1.0
    fit = fit_readout(X, S, ridge=10.0**power)
    centred = X - X.mean(axis=0)
    penalty = 10.0**power * (centred**2).sum() / size
    # the gradient of |s - a - XW|² + penalty |W|² in W and in a
    left = S - fit(X)
    scale = 1.0 + np.abs(centred.T @ S).max()
    np.testing.assert_allclose(centred.T @ left, penalty * fit.weights, atol=1e-8 * scale)
    np.testing.assert_allclose(left.sum(axis=0), 0.0, atol=1e-8 * scale)


def test_a_linear_law_is_found_and_a_constant_state_is_no_failure() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    X[:, 4] = 1.0  # no variance
    W = rng.standard_normal(5)
    W[4] = 0.0
    fit = fit_readout(X, X @ W + 2.0)
    np.testing.assert_allclose(fit.weights[:, 0], W, atol=1e-9)
    np.testing.assert_allclose(fit.offset, 2.0, atol=1e-9)
    dead = fit_readout(np.zeros((20, 3)), np.arange(20.0))
    np.testing.assert_allclose(dead(np.zeros((2, 3))), 9.5)


def test_a_readout_has_the_shape_of_its_targets() -> None:
    rng = np.random.default_rng(3)
    X, s = rng.standard_normal((50, 4)), rng.standard_normal(50)
    one, many = fit_readout(X, s), fit_readout(X, s[:, None])
    assert one(X).shape == (50,) and many(X).shape == (50, 1)
    np.testing.assert_array_equal(one(X), many(X)[:, 0])
    # least squares: 1 - R² is what is left
    left = s - s.mean() - (X - X.mean(axis=0)) @ np.linalg.lstsq(
        X - X.mean(axis=0), s - s.mean(), rcond=None)[0]
    plain = fit_readout(X, s, ridge=0.0)
    assert score(plain(X), s, plain.mean) == pytest.approx(1 - (left @ left) / s.var() / 50)


@pytest.mark.parametrize(("prediction", "target"), [
    (np.zeros((5, 1)), np.arange(5.0)), (np.zeros(5), np.zeros((5, 1))), (0.0, np.arange(5.0)),
    (np.zeros(4), np.zeros(5)), (np.zeros(0), np.zeros(0)), (1.0, 1.0),
])
def test_a_score_of_unequal_shapes_is_refused(prediction: object, target: object) -> None:
    with pytest.raises(InputError, match=r"prediction .*target"):
        score(prediction, target)


def test_ridge_is_chosen_on_times_that_were_not_fitted() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((120, 80))
    noise = rng.standard_normal(120)
    clean = X[:, 0]
    fit = fit_readout(X, np.stack([clean, noise], axis=1))
    assert fit.ridge[0] < 1e-6  # a law without noise: no penalty
    assert fit.ridge[1] >= 1.0  # nothing to be learned: the largest


def test_score() -> None:
    s = np.sin(2 * math.pi * np.arange(300) / 100)
    assert score(s, s) == 1.0
    assert score(np.zeros(300), s) == pytest.approx(0.0, abs=1e-12)  # papers.md 1(f)10
    assert score(-s, s) == pytest.approx(-3.0, abs=1e-12)
    # the readout of the published script, fitted to s(t) and scored against s(t + τ)
    for delay in (1, 5, 10):
        ahead = np.sin(2 * math.pi * (np.arange(300) + delay) / 100)
        expected = 1 - 2 * (1 - math.cos(0.02 * math.pi * delay))
        assert score(s, ahead) == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx(0.618, abs=5e-4)
    assert math.isnan(score(np.zeros(5), np.zeros(5)))


def test_score_error_is_the_scatter_of_the_score() -> None:
    rng = np.random.default_rng(2)
    scores, errors = [], []
    for _ in range(300):
        s = rng.standard_normal((256, 1))
        z = s + 0.5 * rng.standard_normal((256, 1))
        scores.append(score(z, s)[0])
        errors.append(score_error(z, s)[0])
    scatter = np.std(scores)
    assert 0.85 < np.mean(errors) / scatter < 1.15


@given(st.integers(0, 99), st.integers(1, 8), st.integers(1, 20), st.floats(0.1, 10.0))
def test_recursion_equals_the_batch(seed: int, size: int, times: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    R, f = rng.standard_normal((times, size)), rng.standard_normal(times)
    learner = RecursiveLeastSquares(size, alpha)
    for r, value in zip(R, f, strict=True):
        before = learner.weights @ r - value
        assert learner.update(r, float(value)) == pytest.approx(before)
    inverse = np.linalg.inv(R.T @ R + alpha * np.eye(size))
    np.testing.assert_allclose(learner.inverse, inverse, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(learner.weights, inverse @ R.T @ f, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(learner.inverse, learner.inverse.T)


def test_bad_input_is_named() -> None:
    X = np.ones((10, 2))
    with pytest.raises(InputError, match="targets"):
        fit_readout(X, np.ones(9))
    with pytest.raises(InputError, match="NaN"):
        fit_readout(X * np.nan, np.ones(10))
    with pytest.raises(InputError, match="ridge = -1"):
        fit_readout(X, np.ones(10), ridge=-1.0)
    with pytest.raises(InputError, match="validation = 1"):
        fit_readout(X, np.ones(10), validation=1.0)
    with pytest.raises(InputError, match="alpha = 0"):
        RecursiveLeastSquares(3, 0.0)
