"""Errors of correlated means, and that nominal 95 % intervals cover in 93 to 97 % of runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.special import digamma

from neurosparse import lyapunov
from neurosparse.errors import InputError
from neurosparse.lyapunov import MatrixSequence
from neurosparse.lyapunov.statistics import correlated_mean

RUNS = 1000


def autoregressive(phi: float, n: int, runs: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n + 400, runs))
    return lfilter([1.0], [1.0, -phi], noise, axis=0)[400:]


def covered(samples: np.ndarray, exact: float = 0.0) -> float:
    low, high = correlated_mean(samples).interval()
    return float(np.mean((low <= exact) & (exact <= high)))


@pytest.mark.parametrize(("phi", "n"), [(0, 100), (0.5, 200), (0.8, 300), (0.9, 1500), (-0.5, 200)])
def test_coverage_of_simulated_logs(phi, n):
    assert 0.93 <= covered(autoregressive(phi, n, 2 * RUNS, 1)) <= 0.97


def test_coverage_of_an_oscillating_series():
    noise = np.random.default_rng(3).standard_normal((1400, RUNS))
    samples = lfilter([1.0], [1.0, -1.8 * np.cos(1.3), 0.81], noise, axis=0)[400:]
    assert 0.93 <= covered(samples) <= 0.975


def test_coverage_on_row_20_through_the_qr():
    # 1000 short runs of 200 products each, N = 4
    exact = 0.5 * (np.log(0.5) + digamma(np.arange(4, 0, -1) / 2))
    rng = np.random.default_rng(20)
    hits = np.zeros(4)
    for seed in range(RUNS):
        found = lyapunov.spectrum(MatrixSequence(rng.standard_normal((200, 4, 4)) / 2), seed=seed)
        low, high = found.confidence()
        hits += (low <= exact) & (exact <= high)
    assert (hits / RUNS >= 0.93).all()
    assert (hits / RUNS <= 0.97).all()


def test_coverage_on_a_correlated_diagonal_product_through_the_qr():
    # logs of the diagonal are AR(1): exponents are their means, exactly
    means = np.array([0.8, -0.8])
    logs = 0.3 * autoregressive(0.7, 350, 2 * RUNS, 7).T.reshape(RUNS, 2, 350)
    hits = np.zeros(2)
    for seed in range(RUNS):
        matrices = np.zeros((350, 2, 2))
        for i in range(2):
            matrices[:, i, i] = np.exp(means[i] + logs[seed, i])
        product = MatrixSequence(matrices)
        found = lyapunov.spectrum(product, warmup=50, duration=300, interval=1, seed=seed)
        low, high = found.confidence()
        hits += (low <= means) & (means <= high)
    assert (hits / RUNS >= 0.93).all()
    assert (hits / RUNS <= 0.97).all()


def test_error_and_effective_samples_of_an_ar1():
    found = correlated_mean(autoregressive(0.8, 50_000, 4, 2))
    assert np.allclose(found.stderr, 5 / np.sqrt(50_000), rtol=0.15)  # 1 / (1 - phi)
    assert np.allclose(found.effective_samples, 50_000 / 9, rtol=0.2)  # (1-phi)/(1+phi)


def test_differences_of_a_bounded_function_have_a_tiny_error():
    # the neutral direction of a flow: the error falls as 1/n, and never to zero
    for n in (500, 5000):
        bounded = np.random.default_rng(n).standard_normal((n + 1, 200))
        found = correlated_mean(np.diff(bounded, axis=0))
        actual = found.mean.std()
        assert 0.9 * actual < found.stderr.mean() < 4 * actual
        assert found.stderr.min() > 0.5 * actual


def test_constant_samples_have_no_error():
    found = correlated_mean(np.full((50, 2), 0.25))
    assert (found.mean == 0.25).all()
    assert (found.stderr == 0).all()


def test_few_samples_say_that_they_do_not_know():
    found = correlated_mean(np.arange(7.0))
    assert found.mean[0] == 3.0
    assert np.isnan(found.stderr[0])


def test_a_collapsed_column_does_not_hide_the_others():
    samples = np.random.default_rng(0).standard_normal((100, 2))
    samples[3, 1] = -np.inf
    mean, stderr, effective = lyapunov.mean_error(samples)
    assert np.isneginf(mean[1])
    assert np.isnan(stderr[1])
    assert 0 < stderr[0] < 1
    assert effective[0] > 50


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros((2, 2, 2))])
def test_bad_shapes_are_refused(bad):
    with pytest.raises(InputError, match="samples of shape"):
        correlated_mean(bad)


@given(
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-1e3, 1e3),
    n=st.integers(8, 300),
    seed=st.integers(0, 100),
)
@settings(max_examples=40, deadline=None)
def test_error_scales_and_does_not_shift(scale, shift, n, seed):
    samples = np.random.default_rng(seed).standard_normal((n, 2)).cumsum(axis=0) / np.sqrt(n)
    plain, changed = correlated_mean(samples), correlated_mean(scale * (samples + shift))
    assert np.allclose(changed.stderr, scale * plain.stderr, rtol=1e-6)
    assert (plain.stderr > 0).all()
