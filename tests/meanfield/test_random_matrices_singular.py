"""Singular-value laws: masks, spikes, the regulated edge (rows 48, 49; papers.md 1 (f) 3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from neurosparse.errors import InputError
from neurosparse.meanfield.random_matrices import (
    masked_density,
    masked_edges,
    regulated_density,
    regulated_edges,
    spike,
)


def integral(density: Callable[[NDArray[np.float64]], NDArray[np.float64]], low: float,
             high: float, power: int = 0) -> float:
    """∫ x^power density, with the square-root ends taken away by x = mid + half sin(t)."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    t = 0.5 * math.pi * nodes
    mid, half = 0.5 * (low + high), 0.5 * (high - low)
    x = mid + half * np.sin(t)
    return float(np.sum(weights * 0.5 * math.pi * half * np.cos(t) * density(x) * x**power))


def test_edges_of_a_masked_matrix() -> None:  # row 48
    low, high = masked_edges(600, 1200, sparsity=0.7)
    assert (high, low) == pytest.approx((0.9350, 0.1604), abs=5e-5)
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(600, 1200)) / math.sqrt(1200) * (rng.random((600, 1200)) >= 0.7)
    values = np.linalg.svd(drawn, compute_uv=False)
    scale = 600 ** (-2 / 3)
    assert abs(values[0] / high - 1) < 2 * scale and abs(values[-1] / low - 1) < 2 * scale
    grid = np.linspace(low, high, 4001)
    theory = np.cumsum(masked_density(grid, 600, 1200, sparsity=0.7)) * (grid[1] - grid[0])
    measured = np.searchsorted(values[::-1], grid) / 600
    # Corrections of order 1/N carry the fourth cumulant of masked entries, 3/(1-s) - 3 = 7.
    assert np.abs(theory - measured).max() < 7 / 600


@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(0, 0.99), st.floats(0.1, 10))
@pytest.mark.slow
def test_masked_density_has_the_moments_of_the_entries(rows: int, columns: int, sparsity: float,
                                                       gain: float) -> None:
    low, high = masked_edges(rows, columns, sparsity=sparsity, gain=gain)
    ratio = rows / columns
    if abs(1 - math.sqrt(ratio)) < 0.02 and rows != columns:
        return  # the peak near zero is too sharp for this test's rule

    def density(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return masked_density(x, rows, columns, sparsity=sparsity, gain=gain)

    assert integral(density, low, high) == pytest.approx(1, abs=1e-3)
    # tr X Xᵀ = m n times the variance of an entry, over min(m, n) values.
    mean_square = gain**2 * (1 - sparsity) * ratio / min(ratio, 1)
    assert integral(density, low, high, 2) == pytest.approx(mean_square, rel=1e-3)
    # Transposing is a change of g² by the ratio.
    other = masked_edges(columns, rows, sparsity=sparsity, gain=gain * math.sqrt(ratio))
    assert np.allclose(other, (low, high), rtol=1e-12, atol=1e-12)


def test_a_matrix_of_zeros_has_no_density() -> None:
    assert masked_edges(4, 8, sparsity=1.0) == (0.0, 0.0)
    assert np.all(masked_density([0.0, 0.5], 4, 8, sparsity=1.0) == 0)


def test_spike_value_of_the_table() -> None:  # row 49
    found = spike(2.0, 500, 1000)
    assert found.visible and found.value == pytest.approx(2.3717, abs=5e-5)
    rng = np.random.default_rng(2)
    u, v = (w / np.linalg.norm(w) for w in (rng.normal(size=500), rng.normal(size=1000)))
    noise = rng.normal(size=(500, 1000)) / math.sqrt(1000)
    left, values, right = np.linalg.svd(2 * np.outer(u, v) + noise, full_matrices=False)
    assert abs(values[0] - found.value) < 3 / math.sqrt(500)
    assert abs((left[:, 0] @ u) ** 2 - found.left_overlap) < 0.03
    assert abs((right[0] @ v) ** 2 - found.right_overlap) < 0.03
    assert abs(values[1] - (1 + math.sqrt(0.5))) < 0.05


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.1, 5), st.floats(0, 0.99))
def test_spike_rises_out_of_the_edge_without_a_jump(rows: int, columns: int, noise: float,
                                                    sparsity: float) -> None:
    unit = noise * math.sqrt(1 - sparsity)
    threshold = unit * (rows / columns) ** 0.25
    below = spike(0.999 * threshold, rows, columns, noise=noise, sparsity=sparsity)
    above = spike(1.001 * threshold, rows, columns, noise=noise, sparsity=sparsity)
    edge = masked_edges(rows, columns, gain=noise, sparsity=sparsity)[1]
    assert not below.visible and below.value == pytest.approx(edge, rel=1e-12)
    assert above.visible and edge <= above.value < 1.00001 * edge
    assert 0 < above.left_overlap < 0.02 and 0 < above.right_overlap < 0.02
    far = spike(1e4 * max(threshold, unit), rows, columns, noise=noise, sparsity=sparsity)
    assert far.left_overlap == pytest.approx(1, abs=1e-6)
    # The transposed matrix: left is right, noise in units of its own columns.
    turned = spike(2 * threshold, columns, rows, noise=noise * math.sqrt(rows / columns),
                   sparsity=sparsity)
    here = spike(2 * threshold, rows, columns, noise=noise, sparsity=sparsity)
    assert turned.value == pytest.approx(here.value, rel=1e-10)
    assert turned.left_overlap == pytest.approx(here.right_overlap, abs=1e-10)


@pytest.mark.parametrize(("gain", "low", "high"), [
    (0.3, 0.361, 2.087), (0.5, 0.1362, 3.098), (0.7, 0.0304, 4.360), (0.9, 0.0012, 5.885),
    (1.0, 0.0, 6.75),
])
def test_edges_of_the_regulated_flow(gain: float, low: float, high: float) -> None:
    # papers.md 1 (f) 3
    found = regulated_edges(gain)
    assert found == pytest.approx((low, high), abs=6e-4)
    a = 1 / gain**2
    r = math.sqrt(1 + 8 * a)
    assert found[1] == pytest.approx(gain**2 * (r + 3) ** 3 / (8 * (r + 1)), rel=1e-12)


def test_edges_without_couplings_are_one_and_with_strong_ones_those_of_a_square_matrix() -> None:
    assert regulated_edges(0.0) == pytest.approx((1.0, 1.0), abs=1e-15)
    # (I-J)ᵀ(I-J) -> JᵀJ, whose upper edge is 4 g².
    assert regulated_edges(1e4)[1] == pytest.approx(4e8, rel=1e-6)


def test_regulated_edges_and_density_of_a_drawn_matrix() -> None:
    n, gain = 600, 0.5
    J = np.random.default_rng(3).normal(size=(n, n)) * gain / math.sqrt(n)
    values = np.linalg.svd(np.eye(n) - J, compute_uv=False)[::-1] ** 2
    low, high = regulated_edges(gain)
    for edge, found, side in ((low, values[0], 1), (high, values[-1], -1)):
        # Near an edge the density is A √distance; the last eigenvalue lies inside by 1.21 ± 1.27
        # (Tracy-Widom) in units of (π A N)^(-2/3).
        slope = float(regulated_density(edge + side * 1e-4 * low, gain)) / math.sqrt(1e-4 * low)
        unit = (math.pi * slope * n) ** (-2 / 3)
        assert abs(side * (found - edge) / unit - 1.21) < 3 * 1.27
    grid = np.linspace(low, high, 1501)
    theory = np.cumsum(regulated_density(grid, gain)) * (grid[1] - grid[0])
    assert np.abs(theory - np.searchsorted(values, grid) / n).max() < 0.01


@pytest.mark.parametrize("gain", [0.2, 0.5, 0.8])
def test_regulated_density_has_the_moments_of_the_matrix(gain: float) -> None:
    low, high = regulated_edges(gain)

    def density(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return regulated_density(x, gain)

    assert integral(density, low, high) == pytest.approx(1, abs=1e-6)
    assert integral(density, low, high, 1) == pytest.approx(1 + gain**2, abs=1e-6)
    # tr (XᵀX)²/N for X = I - J.
    assert integral(density, low, high, 2) == pytest.approx(
        1 + 4 * gain**2 + 2 * gain**4, abs=1e-6)


def test_the_gap_closes_at_one() -> None:
    gains = np.linspace(0.05, 1.5, 30)
    lower, upper = np.array([regulated_edges(g) for g in gains]).T
    assert np.all(np.diff(upper) > 0) and np.all(np.diff(lower) <= 0)
    assert np.all(lower[gains < 1] > 0) and np.all(lower[gains >= 1] == 0)
    assert np.all(regulated_density([1e-3, 0.1, 1.0], 1.4) > 0)
    mass, _ = quad(lambda t: float(regulated_density(t * t, 1.4)) * 2 * t, 0,
                   math.sqrt(regulated_edges(1.4)[1]), limit=200)
    assert mass == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("call", [
    lambda: masked_edges(0, 4), lambda: masked_edges(4, 4, sparsity=1.1),
    lambda: masked_density(1, 4, 4, gain=-1), lambda: spike(-1, 4, 4),
    lambda: spike(1, 4, 4, noise=0), lambda: spike(1, 4, 4, sparsity=1.0),
    lambda: regulated_edges(-0.1), lambda: regulated_density(1, 0.0),
])
def test_refusals(call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="found"):
        call()
