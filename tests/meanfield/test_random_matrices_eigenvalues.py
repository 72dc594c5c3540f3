"""Eigenvalue laws: circle, ellipse, columns, outliers, products (rows 20, 33, 44, 46, 47)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.dynamics import ei_couplings, gaussian_couplings, low_rank_couplings
from neurosparse.errors import InputError
from neurosparse.meanfield.random_matrices import (
    column_radial_distribution,
    column_radius,
    ei_law,
    elliptic_axes,
    elliptic_density,
    gaussian_product_distribution,
    gaussian_product_exponents,
    gaussian_product_quantile,
    low_rank_outliers,
    rest_density,
)

GAIN = st.floats(0.1, 5)


def test_ellipse_of_a_drawn_matrix() -> None:  # row 46
    values = np.linalg.eigvals(gaussian_couplings(500, 1.0, symmetry=0.5, storage="dense", seed=1))
    real, imaginary = elliptic_axes(1.0, symmetry=0.5)
    assert (real, imaginary) == (1.5, 0.5)
    assert abs(np.abs(values.real).max() - real) < 0.09
    assert abs(np.abs(values.imag).max() - imaginary) < 0.05
    # Evenly filled: a quarter of the area holds a quarter of the eigenvalues.
    inner = np.mean((values.real / real) ** 2 + (values.imag / imaginary) ** 2 <= 0.25)
    assert abs(inner - 0.25) < 0.03


def test_circle_of_a_masked_matrix_is_that_of_its_variance() -> None:  # row 46
    values = np.linalg.eigvals(gaussian_couplings(400, 2.0, sparsity=0.75, storage="dense", seed=2))
    real, imaginary = elliptic_axes(2.0, sparsity=0.75)
    assert real == imaginary == 1.0
    assert abs(np.abs(values).max() - real) < 0.08


@given(GAIN, st.floats(-0.95, 0.95), st.floats(0, 0.95))
def test_densities_integrate_to_one(gain: float, symmetry: float, sparsity: float) -> None:
    real, imaginary = elliptic_axes(gain, symmetry=symmetry, sparsity=sparsity)
    height = float(elliptic_density(0, gain, symmetry=symmetry, sparsity=sparsity))
    assert height * math.pi * real * imaginary == pytest.approx(1, rel=1e-12)
    assert elliptic_density(1.001 * real, gain, symmetry=symmetry, sparsity=sparsity) == 0
    # The semicircle, at the points and weights that integrate it exactly.
    angle = np.arange(1, 40) * math.pi / 40
    place = -1 + real * np.cos(angle)
    mass = rest_density(place, gain, symmetry=symmetry, sparsity=sparsity) * real * np.sin(angle)
    assert mass.sum() * math.pi / 40 == pytest.approx(1, rel=1e-12)


def test_exponents_at_rest_are_a_semicircle_around_minus_one() -> None:  # row 44
    gain = 0.8
    J = gaussian_couplings(500, gain, seed=3)
    exponents = np.sort(np.linalg.eigvals(J).real - 1)
    assert abs(np.median(exponents) + 1) < 0.03
    assert abs(exponents[-1] - (gain - 1)) < 0.06 and abs(exponents[0] + gain + 1) < 0.06
    edges = np.linspace(-1 - gain, -1 + gain, 2001)
    theory = np.cumsum(rest_density(edges, gain)) * (edges[1] - edges[0])
    measured = np.searchsorted(exponents, edges) / 500
    assert np.abs(theory - measured).max() < 0.03


def test_equal_columns_are_the_circular_law() -> None:
    r = np.linspace(0, 2, 21)
    assert np.allclose(column_radial_distribution(r, [2.25, 2.25]), np.minimum(r**2 / 2.25, 1),
                       atol=1e-14)


@given(st.lists(st.tuples(st.floats(0, 4), st.floats(0.05, 1)), min_size=1, max_size=4))
def test_radial_distribution_grows_to_one_at_the_radius(
        populations: list[tuple[float, float]]) -> None:
    variance, share = zip(*populations, strict=True)
    edge = column_radius(variance, share)
    found = column_radial_distribution(np.linspace(0, 1.2 * edge + 1e-3, 30), variance, share)
    assert np.all(np.diff(found) >= -1e-12) and found[-1] == 1
    # Columns of zeros give eigenvalues that are zero.
    empty = sum(s for v, s in populations if v == 0) / sum(share)
    assert found[0] == pytest.approx(empty, abs=1e-9) or min(v for v in variance if v) < 1e-3


def test_unequal_columns_crowd_the_middle_as_drawn() -> None:
    variance, share, n = np.array([0.1, 2.0]), np.array([0.5, 0.5]), 500
    J = np.random.default_rng(4).normal(size=(n, n)) / math.sqrt(n)
    J *= np.sqrt(np.repeat(variance, n // 2))
    modulus = np.sort(np.abs(np.linalg.eigvals(J)))
    theory = column_radial_distribution(modulus, variance, share)
    assert np.abs(theory - np.arange(1, n + 1) / n).max() < 0.03
    assert theory[n // 4] - modulus[n // 4] ** 2 / column_radius(variance) ** 2 > 0.05


def test_outlier_of_a_rank_one_part() -> None:  # row 47
    n = 500
    m = np.ones(n)
    right = np.full(n, 1.5)
    (outlier,) = low_rank_outliers(m, right, 0.8)
    assert outlier == pytest.approx(1.5, abs=1e-12)
    J = low_rank_couplings(gaussian_couplings(n, 0.8, seed=5), m[:, None], right[:, None])
    values = np.linalg.eigvals(J.toarray())
    assert abs(values[np.argmax(np.abs(values))] - outlier) < 0.12
    assert low_rank_outliers(m, right, 1.6).size == 0


def test_outlier_beside_an_elliptic_bulk_is_pushed() -> None:  # row 47
    n, eta = 500, 0.6
    m, right = np.ones(n), np.full(n, 2.0)
    (outlier,) = low_rank_outliers(m, right, 1.0, symmetry=eta)
    assert outlier == pytest.approx(2.3, abs=1e-12)
    base = gaussian_couplings(n, 1.0, symmetry=eta, storage="dense", seed=6)
    values = np.linalg.eigvals(base + np.outer(m, right) / n)
    assert abs(values[np.argmax(values.real)] - outlier) < 0.12


def test_pairs_of_complex_outliers_come_from_rank_two() -> None:
    n = 64
    m = np.zeros((n, 2))
    m[::2, 0] = m[1::2, 1] = math.sqrt(2)
    right = m @ np.array([[1.0, 2.0], [-2.0, 1.0]]).T
    found = low_rank_outliers(m, right, 0.5)
    assert np.allclose(sorted(found.imag), [-2, 2]) and np.allclose(found.real, 1)


PAPER = {"std_e": 0.9, "std_i": 0.9, "excitatory": 0.4, "mean_e": 0.6, "mean_i": -0.6,
         "density": 0.8}


def test_excitatory_inhibitory_law_against_a_draw() -> None:  # row 47, papers.md (e), (f) 8
    law = ei_law(600, **PAPER)
    assert law.radius == pytest.approx(0.84, abs=0.005)
    assert law.outlier == pytest.approx(math.sqrt(600) * 0.8 * (0.4 * 0.6 - 0.6 * 0.6), rel=1e-12)
    values = np.linalg.eigvals(ei_couplings(600, storage="dense", seed=7, **PAPER))
    order = np.argsort(-np.abs(values))
    assert abs(values[order[0]] - law.outlier) < 0.15
    assert abs(np.abs(values[order[1]]) - law.radius) < 0.08


def test_zero_row_sums_are_taken_off_the_radius_too() -> None:
    # unequal means of a sparse matrix: row sums carry much of the variance
    ensemble = {"mean_e": 2.0, "mean_i": -0.1, "std_e": 0.5, "std_i": 0.5, "excitatory": 0.5,
                "density": 0.3}
    law = ei_law(800, zero_row_sums=True, **ensemble)
    # α(1-α)(μ - ⟨μ⟩)² of each half, μ - ⟨μ⟩ = ±1.05, beside α σ²
    assert law.radius == pytest.approx(math.sqrt(0.3 * 0.25 + 0.21 * 1.05**2), rel=1e-14)
    values = np.linalg.eigvals(ei_couplings(800, storage="dense", seed=11, zero_row_sums=True,
                                            **ensemble))
    assert np.abs(values).max() == pytest.approx(law.radius, rel=0.07)
    assert ei_law(800, **ensemble).radius > 1.2 * law.radius


def test_zero_row_sums_remove_the_outlier() -> None:  # row 47
    law = ei_law(400, zero_row_sums=True, **PAPER)
    assert law.outlier is None
    values = np.linalg.eigvals(ei_couplings(400, storage="dense", seed=8, zero_row_sums=True,
                                            **PAPER))
    assert abs(np.abs(values).max() - law.radius) < 0.1


def test_exponents_of_gaussian_products() -> None:  # row 20
    assert np.allclose(gaussian_product_exponents(1), [-0.63518142], atol=5e-9)
    assert np.allclose(gaussian_product_exponents(2), [-0.28860783, -0.98175501], atol=5e-9)
    assert np.allclose(gaussian_product_exponents(4)[[0, -1]], [-0.13518142, -1.32832860],
                       atol=5e-9)
    assert np.allclose(gaussian_product_exponents(100)[[0, -1]], [-0.00501667, -2.93776652],
                       atol=5e-9)


@pytest.mark.parametrize("n", [50, 200, 800])
def test_gaussian_products_approach_their_law_like_one_over_n(n: int) -> None:  # row 33
    found = gaussian_product_exponents(n, 1.7)
    middle = (np.arange(1, n + 1) - 0.5) / n
    keep = middle < 0.9
    gap = np.abs(found - gaussian_product_quantile(middle, 1.7))[keep].max()
    # O(1/N): not larger, and not zero, which would mean that both are the same formula.
    assert 0.5 < gap * n < 8


@given(st.floats(0.01, 0.999), st.floats(0.1, 10))
def test_quantile_and_distribution_are_inverse(x: float, gain: float) -> None:  # row 33
    s = gaussian_product_quantile(x, gain)
    assert gaussian_product_distribution(s, gain) == pytest.approx(1 - x, rel=1e-9)
    assert gaussian_product_distribution(math.log(gain) + 1, gain) == 1


@given(st.integers(1, 60), st.floats(0.1, 10))
def test_gain_shifts_all_exponents(n: int, gain: float) -> None:
    gap = gaussian_product_exponents(n, gain) - gaussian_product_exponents(n)
    assert np.allclose(gap, math.log(gain), atol=1e-12)


@pytest.mark.parametrize("call", [
    lambda: elliptic_axes(-1), lambda: elliptic_axes(1, symmetry=1.5),
    lambda: elliptic_axes(1, sparsity=-0.1), lambda: elliptic_axes(math.nan),
    lambda: elliptic_density(0, 1, symmetry=1), lambda: rest_density(0, 0),
    lambda: column_radius([1, -1]), lambda: column_radius([1], [0.5, 0.5]),
    lambda: column_radial_distribution(-1, [1]), lambda: low_rank_outliers([1, 2], [1], 1),
    lambda: gaussian_product_exponents(0), lambda: gaussian_product_quantile(0.5, 0),
    lambda: gaussian_product_distribution(0, -1),
])
def test_refusals(call: object) -> None:
    with pytest.raises(InputError, match="found"):
        call()  # type: ignore[operator]
