"""Spectra that are known exactly: rows 14 to 20 of the reference table (numerics.md 1.6)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from neurosparse import dynamics, lyapunov
from neurosparse.lyapunov import DiscreteSystem, MatrixSequence, Operators, System


def ginibre(n: int, count: int, seed: int) -> np.ndarray:
    """Real matrices [count, n, n], entries of variance 1/n."""
    return np.random.default_rng(seed).standard_normal((count, n, n)) / np.sqrt(n)


def newman(n: int, variance: float = 1.0) -> np.ndarray:
    """Exponents of products of real Ginibre matrices (Newman 1986)."""
    k = np.arange(1, n + 1)
    return 0.5 * (np.log(2 * variance / n) + digamma((n - k + 1) / 2))


def test_row_14_diagonal_map():
    rates = np.array([1.1, 0.8])
    linear = DiscreteSystem(
        lambda n, x: rates * x, lambda n, x, v: rates[:, None] * v, 2,
        log_determinant=float(np.log(rates).sum()), x0=[0.0, 0.0],
    )  # fmt: skip
    found = lyapunov.spectrum(linear, duration=500)
    assert np.abs(found.exponents - np.log(rates)).max() < 1e-9
    assert found.sum_rule_residual < 1e-12


def test_row_14_diagonal_flow():
    rates = np.array([0.1, -0.4])
    linear = System(
        lambda t, x: rates * x, lambda t, x, v: rates[:, None] * v, 2, trace=-0.3, x0=[0.0, 0.0]
    )
    found = lyapunov.spectrum(linear, duration=20, transient=0, warmup=50, dt=0.05)
    assert np.abs(found.exponents - rates).max() < 1e-9


def test_row_15_constant_product():
    matrix = np.random.default_rng(4).standard_normal((8, 8))
    exact = np.sort(np.log(np.abs(np.linalg.eigvals(matrix))))[::-1]
    found = lyapunov.spectrum(MatrixSequence(lambda n: matrix, 8), duration=3000)
    assert np.abs(found.exponents - exact).max() < 2e-2
    assert found.sum_rule_residual < 1e-9


def test_row_15_transient_of_the_frame_decays_with_the_gap():
    matrix = np.diag([2.0, 1.0])
    matrix[0, 1] = 0.7
    errors = []
    for warmup in (8, 12, 16):
        run = MatrixSequence(lambda n: matrix, 2)
        found = lyapunov.spectrum(run, duration=1, warmup=warmup, interval=1)
        errors.append(abs(found.exponents[0] - np.log(2)))
    # gap ln 2, the error of the log is linear in the angle here: 4 steps, a factor 2^4
    assert np.allclose(np.divide(errors[:-1], errors[1:]), 16, rtol=0.2)


# compiled loop and LAPACK; 7 steps of N = 40 would cost seven digits of the last direction
@pytest.mark.parametrize(("n", "interval"), [(3, 1), (3, 3), (3, 7), (40, 1), (40, 3)])
def test_row_16_sum_is_mean_log_determinant(n, interval):
    matrices = ginibre(n, 210, 3)
    found = lyapunov.spectrum(MatrixSequence(matrices), interval=interval)
    exact = np.linalg.slogdet(matrices)[1].mean()
    assert found.duration == 210
    assert abs(found.exponents.sum() - exact) < 1e-9
    assert found.sum_rule_residual < 1e-9


@pytest.mark.parametrize("n", [3, 40])
def test_row_17_shift(n):
    matrices = ginibre(n, 60, 3)
    plain = lyapunov.spectrum(MatrixSequence(matrices))
    lowered = lyapunov.spectrum(MatrixSequence(matrices * np.exp(-0.3)))
    assert np.abs(lowered.exponents - (plain.exponents - 0.3)).max() < 1e-12


def test_row_18_mean_exponent_of_a_rate_network():
    couplings = dynamics.gaussian_couplings(24, 2.0, diagonal=False, seed=1)
    flow = dynamics.Flow(couplings)
    found = lyapunov.spectrum(flow, duration=30, transient=20, warmup=5, dt=0.02)
    assert abs(found.exponents.mean() + 1) < 1e-5


def test_row_19_mean_exponent_of_a_map_network():
    n = 16
    couplings = dynamics.gaussian_couplings(n, 2.0, diagonal=True, seed=1)
    x0 = np.random.default_rng(2).standard_normal(n)
    found = lyapunov.spectrum(
        dynamics.Map(couplings), duration=200, transient=0, warmup=0, interval=1, x0=x0
    )
    x, slopes = x0, 0.0
    for _ in range(200):
        slopes -= 2 * np.log(np.cosh(x)).mean() / 200
        x = couplings @ np.tanh(x)
    exact = np.linalg.slogdet(couplings)[1] / n + slopes
    assert abs(found.exponents.mean() - exact) < 1e-9


def test_row_20_pinned_values():
    assert abs(newman(1)[0] + 0.63518142) < 1e-8
    assert np.abs(newman(2) - [-0.28860783, -0.98175501]).max() < 1e-8
    assert abs(newman(4)[0] + 0.13518142) < 1e-8
    assert abs(newman(4)[-1] + 1.32832860) < 1e-8
    assert abs(newman(100)[0] + 0.00501667) < 1e-8
    assert abs(newman(100)[-1] + 2.93776652) < 1e-8


@pytest.mark.parametrize("n", [1, 2, 4])
def test_row_20_ginibre_products(n):
    found = lyapunov.spectrum(MatrixSequence(ginibre(n, 40_000, n)))
    assert np.abs(found.exponents - newman(n)).max() < 5 * found.stderr.max()
    assert (np.abs(found.exponents - newman(n)) < 4 * found.stderr).all()
    # the error is that of independent logs: their variance is trigamma / 4
    from scipy.special import polygamma

    exact = np.sqrt(polygamma(1, (n - np.arange(n)) / 2) / 4 / 40_000)
    assert np.allclose(found.stderr, exact, rtol=0.1)


@pytest.mark.slow
def test_row_20_ginibre_100():
    rng = np.random.default_rng(0)
    product = MatrixSequence(lambda n: rng.standard_normal((100, 100)) / 10, 100)
    found = lyapunov.spectrum(product, duration=3000, warmup=20, interval=1)
    assert abs(found.exponents[0] - newman(100)[0]) < 5 * found.stderr[0]
    assert abs(found.exponents[-1] - newman(100)[-1]) < 5 * found.stderr[-1]
    assert np.abs(found.exponents[:90] - newman(100)[:90]).max() < 0.02


def test_row_33_limit_of_row_20_at_large_n():
    n = 2000
    fraction = (np.arange(n) + 0.5) / n
    inside = fraction < 0.95
    limit = 0.5 * np.log(1 - fraction)
    assert np.abs(newman(n) - limit)[inside].max() < 1e-2


def test_row_32_deep_linear_network_is_a_sequence_of_operators():
    class Layer:
        def __init__(self, weight):
            self.weight = weight

        def matmat(self, frame):
            return self.weight @ frame

    weights = ginibre(6, 30, 9)
    deep = lyapunov.spectrum(Operators([Layer(w) for w in weights], 6), 3)
    product = np.linalg.multi_dot(list(weights[::-1]))
    assert deep.duration == 30
    assert deep.interval == 1
    # in depth nothing is thrown away: the first exponents bound the log gain of the product
    top = np.log(np.linalg.svd(product, compute_uv=False))[0] / 30
    assert deep.exponents[0] <= top + 1e-12
    assert deep.sum_rule_residual is None
