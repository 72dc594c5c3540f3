"""Distribution of all Lyapunov exponents."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.meanfield import (
    Constant,
    dimension_and_entropy,
    full_thresholds,
    semicircle_share,
    spectrum_density,
    stationary,
)
from neurosparse.meanfield.density_site import flow_problem, map_problem, solve_site, sweep

FLAT = np.ones((1, 64))
ONE = np.ones(1)


def test_row_44_rest_state_is_a_semicircle():
    found = spectrum_density(0.6)
    assert found.method == "exact"
    assert found.cumulative == pytest.approx(semicircle_share(found.thresholds, 0.6), abs=1e-4)
    assert found.exponents(0.5) == pytest.approx(-1.0, abs=1e-3)
    assert found.kaplan_yorke == found.entropy_rate == 0.0


def test_row_33_product_of_gaussian_matrices():
    # δ = 1 and slope one everywhere: F(s) = exp(2s)/g²
    found = spectrum_density(0.8, delta=1.0)
    s = found.thresholds
    assert found.cumulative == pytest.approx(np.exp(2 * s) / 0.64, abs=1e-6)
    assert found.exponents([0.25]) == pytest.approx([0.5 * math.log(0.64 * 0.75)], abs=1e-3)


@pytest.mark.parametrize("delta", [0.2, 0.5])
def test_rest_state_of_the_map_against_eigenvalues(delta):
    g, n = 0.8, 500
    mu = np.linalg.eigvals(np.random.default_rng(0).normal(size=(n, n)) * g / math.sqrt(n))
    exponents = np.log(np.abs(1 - delta + delta * mu)) / delta
    found = spectrum_density(g, delta=delta, thresholds=[-1.5, -1.2, -1.0, -0.8, -0.5])
    counted = (exponents[None, :] < found.thresholds[:, None]).mean(axis=1)
    assert found.cumulative == pytest.approx(counted, abs=0.015)  # O(1/√N) edges


def test_frozen_state_against_eigenvalues():
    state, n, eigenvalues = stationary(0.9, drive=Constant(spread=1.0)), 400, []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        slope = 1 / np.cosh(rng.normal(size=n) * math.sqrt(state.variance)) ** 2
        eigenvalues.append(np.linalg.eigvals(rng.normal(size=(n, n)) * 0.9 / math.sqrt(n) * slope))
    mu = np.concatenate(eigenvalues)
    found = spectrum_density(0.9, drive=Constant(spread=1.0), thresholds=[-1.3, -1.1, -0.9, -0.7])
    counted = ((mu.real - 1)[None, :] < found.thresholds[:, None]).mean(axis=1)
    assert found.method == "exact"
    assert found.cumulative == pytest.approx(counted, abs=0.015)


def test_chaotic_map_at_step_one_against_a_network():
    g, n = 3.0, 300
    rng = np.random.default_rng(2)
    j = rng.normal(size=(n, n)) * g / math.sqrt(n)
    x, frame, logs = rng.normal(size=n), np.eye(n), np.zeros(n)
    for step in range(260):
        frame = j @ ((1 / np.cosh(x) ** 2)[:, None] * frame)
        x = j @ np.tanh(x)
        frame, r = np.linalg.qr(frame)
        logs += np.log(np.abs(np.diag(r))) * (step >= 60)
    found = spectrum_density(g, delta=1.0)
    assert found.exponents([0.1, 0.3, 0.6]) == pytest.approx(logs[[30, 90, 180]] / 200, abs=0.05)
    assert found.upper_edge == pytest.approx(0.31024932, abs=1e-7)  # row 37
    assert found.share_below(found.upper_edge) == 1.0
    assert np.isnan(found.share_below(found.thresholds[0] - 1))


@pytest.mark.parametrize("s", [-1.3, -0.7, -0.55])
def test_single_site_with_constant_slopes_is_the_semicircle(s):
    exact = float(semicircle_share(np.array(s), 0.6))
    shares = [solve_site(np.ones((1, 120)), ONE, flow_problem(s, 0.6, 40.0, 120, 1e-4, sign)).share
              for sign in (1, -1)]
    assert np.mean(shares) == pytest.approx(exact, abs=5e-3)


@pytest.mark.parametrize("sign", [1, -1])
def test_single_site_with_constant_slopes_of_the_map(sign):
    exact = spectrum_density(0.8, delta=0.5, thresholds=[-0.9]).cumulative[0]
    problem = map_problem(-0.9, 0.8, 0.5, 64, 1e-5, sign)
    found = solve_site(FLAT, ONE, problem, tolerance=1e-8, sweeps=600)
    assert found.share == pytest.approx(exact, abs=0.01)  # the window's frequencies are discrete


def test_single_site_with_independent_slopes_is_the_closed_form():
    s, rng = -0.4, np.random.default_rng(3)
    state = stationary(3.0, delta=1.0)
    slopes = 1 / np.cosh(math.sqrt(state.variance) * rng.normal(size=(64, 64))) ** 2
    found = solve_site(slopes, np.full(64, 1 / 64), map_problem(s, 3.0, 1.0, 64, 1e-5, 1))
    exact = spectrum_density(3.0, delta=1.0, thresholds=[s]).cumulative[0]
    assert found.share == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("sign", [1, -1])
def test_sweep_against_the_paper_s_second_inverse(sign):
    m, rng = 12, np.random.default_rng(4)
    problem = flow_problem(-0.3, 2.0, 6.0, m, 0.05, sign)
    d = rng.uniform(0.1, 1, size=(3, m))
    a, p = problem.regulator + rng.uniform(0.5, 1, m), rng.uniform(0.5, 1, m)
    # kernels are real: even symbols
    pair = np.argmin(np.abs(np.exp(1j * problem.frequencies)[:, None]
                            - np.exp(-1j * problem.frequencies)[None, :]), axis=1)
    a, p = (a + a[pair]) / 2, (p + p[pair]) / 2
    wave = np.exp(1j * np.outer(np.arange(m), problem.frequencies)) / math.sqrt(m)

    def ring(symbol):
        return (wave * symbol) @ wave.conj().T

    def symbol(matrix):
        return np.diag(wave.conj().T @ matrix @ wave).real

    q = x = inner = 0
    root = ring(np.sqrt(problem.distance))
    for row in d:
        c = problem.regulator * np.eye(m) + problem.strength * np.diag(row) @ ring(p) @ np.diag(row)
        one = np.linalg.inv(c + ring(problem.distance / a))
        q, inner = q + one / 3, inner + np.diag(row) @ one @ np.diag(row) / 3
        x = x + np.linalg.inv(ring(a) + root @ np.linalg.inv(c) @ root) / 3
    a_new, p_new, v = sweep(d, np.full(3, 1 / 3), problem, a, p)
    assert v == pytest.approx(symbol(q), rel=1e-9)
    assert p_new == pytest.approx(symbol(x), rel=1e-9)
    assert a_new == pytest.approx(problem.regulator + problem.strength * symbol(inner), rel=1e-9)


def test_chaotic_map_against_published_theory():
    # Clark's data (δ = 0.25, g = 3, 4096 paths, η = 1.6e-4): F(0) = 0.96532, F(-0.350728) = 0.89428
    found = spectrum_density(3.0, delta=0.25, thresholds=[-0.350728, 0.0], paths=32, scrambles=2,
                             window=16.0, tolerance=1e-5)
    assert found.converged and found.method == "single site"
    assert found.cumulative == pytest.approx([0.89428, 0.96532], abs=0.01)


def test_dimension_and_entropy_of_a_uniform_law():
    # exponents uniform in [-3, 1]: they sum to zero above c = -1, where a half lies
    s = np.linspace(-3, 1, 401)[:-1]
    dimension, entropy = dimension_and_entropy(s, (s + 3) / 4, 1.0)
    assert dimension == pytest.approx(0.5, abs=1e-4)
    assert entropy == pytest.approx(1 / 8, abs=1e-6)
    assert math.isnan(dimension_and_entropy(s[s > -0.5], (s[s > -0.5] + 3) / 4, 1.0)[0])
    assert dimension_and_entropy(s - 2, (s + 3) / 4, -1.0) == (0.0, 0.0)


def test_thresholds_cover_the_spectrum():
    s = full_thresholds(0.2)
    assert (np.diff(s) > 0).all() and s[0] == pytest.approx(-3.0) and -1 < s[-1] < 0.2


@pytest.mark.parametrize("arguments", [
    {"window": 0.0}, {"spacing": 10.0}, {"paths": 100}, {"scrambles": 0},
    {"regulators": (1e-4, 1e-3)}, {"window": 1.0}])
def test_bad_numbers(arguments):
    with pytest.raises(InputError):
        spectrum_density(2.0, **arguments)


@pytest.mark.slow
def test_rows_41_and_43_chaotic_flow():
    found = spectrum_density(3.0, paths=64, scrambles=4)
    assert found.converged
    assert found.kaplan_yorke == pytest.approx(0.0617, abs=0.0020)  # 3 %
    # row 43 is a network of N = 4096 with a scatter of 2-3 %
    assert found.entropy_rate == pytest.approx(0.003135, rel=0.06)
    assert 1 - found.share_below(0.0) == pytest.approx(0.0288, rel=0.05)


@pytest.mark.slow
def test_row_42_near_onset():
    found = spectrum_density(1.25, delta=0.5, paths=32, scrambles=2, window=64.0)
    assert found.kaplan_yorke == pytest.approx(0.0055, rel=0.05)
