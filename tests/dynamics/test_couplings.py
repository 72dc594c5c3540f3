"""Couplings: moments, masks, storage, the laws of their spectra."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from neurosparse.dynamics import (
    LowRankCoupling,
    check_couplings,
    ei_couplings,
    ei_moments,
    ei_outlier,
    ei_radius,
    gaussian_couplings,
    low_rank_couplings,
)
from neurosparse.dynamics.couplings import column_squares, dense, diagonal
from neurosparse.dynamics.masks import bernoulli_positions, pair_of
from neurosparse.errors import InputError

DEMO = {"excitatory": 0.4, "mean_e": 0.6, "mean_i": -0.6, "std_e": 0.9, "std_i": 0.9,
        "density": 0.8}


@pytest.mark.parametrize("eta", [-1.0, -0.6, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_variance_and_reciprocal_correlation(eta: float, sparsity: float) -> None:
    n, g = 500, 1.7
    J = dense(gaussian_couplings(n, g, symmetry=eta, sparsity=sparsity, diagonal=True, seed=3))
    upper = np.triu_indices(n, 1)
    a, b = J[upper], J.T[upper]
    pairs = a.size * (1 - sparsity)
    variance = n * np.mean(a**2) / (g * g * (1 - sparsity))
    # 5 standard errors; masked entries have kurtosis 3/(1-s)
    error = math.sqrt((3 / (1 - sparsity) - 1) / a.size)
    assert variance == pytest.approx(1, abs=5 * error)
    assert n * np.mean(a * b) / (g * g * (1 - sparsity)) == pytest.approx(
        eta, abs=5 * math.sqrt(3 / pairs))
    own = J.diagonal()
    own = own[own != 0]
    assert n * np.mean(own**2) / g**2 == pytest.approx(1, abs=5 * math.sqrt(2 / own.size))
    if abs(eta) == 1:
        np.testing.assert_array_equal(a, eta * b)
    if eta != 0 and sparsity:
        np.testing.assert_array_equal(a != 0, b != 0)


@pytest.mark.parametrize("eta", [0.0, 0.4])
def test_storage_changes_nothing_but_storage(eta: float) -> None:
    for sparsity in (0.0, 0.3, 0.9):
        make = {"symmetry": eta, "sparsity": sparsity, "seed": 5}
        a = gaussian_couplings(60, 1.0, storage="dense", **make)  # type: ignore[arg-type]
        b = gaussian_couplings(60, 1.0, storage="sparse", **make)  # type: ignore[arg-type]
        assert isinstance(a, np.ndarray)
        assert a.flags.c_contiguous
        assert isinstance(b, sparse.csr_array)
        np.testing.assert_array_equal(a, b.toarray())
        auto = gaussian_couplings(60, 1.0, **make)  # type: ignore[arg-type]
        assert sparse.issparse(auto) == (sparsity >= 0.5)


def test_rescale_restores_the_variance_and_seeds_repeat() -> None:
    a = gaussian_couplings(80, 2.0, sparsity=0.75, seed=1)
    b = gaussian_couplings(80, 2.0, sparsity=0.75, seed=1, rescale=True)
    np.testing.assert_allclose(b.toarray(), 2 * a.toarray(), rtol=1e-15)
    np.testing.assert_array_equal(gaussian_couplings(80, 2.0, sparsity=0.75, seed=1).data, a.data)
    assert (a.toarray().diagonal() == 0).all()
    assert not np.array_equal(gaussian_couplings(80, 2.0, sparsity=0.75, seed=2).data, a.data)


@given(total=st.integers(0, 4000), density=st.floats(0.001, 1.0), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_mask_positions_are_a_sorted_subset(total: int, density: float, seed: int) -> None:
    found = bernoulli_positions(total, density, np.random.default_rng(seed))
    assert (np.diff(found) > 0).all()
    assert found.size == 0 or (found[0] >= 0 and found[-1] < total)
    # 6 standard deviations and room for small counts
    assert abs(found.size - total * density) <= 6 * math.sqrt(total * density * (1 - density)) + 6


def test_mask_is_bernoulli_at_both_ends_of_the_range() -> None:
    counts = np.zeros(7)
    for seed in range(4000):
        counts[bernoulli_positions(7, 0.3, np.random.default_rng(seed))] += 1
    np.testing.assert_allclose(counts / 4000, 0.3, atol=4.5 * math.sqrt(0.21 / 4000))


@pytest.mark.parametrize("n", [1, 2, 3, 17])
def test_pairs_are_counted_along_the_upper_triangle(n: int) -> None:
    i, j = pair_of(np.arange(n * (n - 1) // 2), n)
    expected = np.triu_indices(n, 1)
    np.testing.assert_array_equal(i, expected[0])
    np.testing.assert_array_equal(j, expected[1])


def test_circular_and_elliptic_law() -> None:  # row 46
    n, g = 600, 1.0
    edges = []
    for eta in (0.0, 0.5, -0.5):
        values = np.linalg.eigvals(gaussian_couplings(n, g, symmetry=eta, seed=11))
        edges.append((values.real.max(), values.imag.max()))
        # the law is uniform in the ellipse: second moment of the half axes a²/4
        assert np.mean(values.real**2) == pytest.approx((1 + eta) ** 2 / 4, rel=0.05)
        assert np.mean(values.imag**2) == pytest.approx((1 - eta) ** 2 / 4, rel=0.05)
    np.testing.assert_allclose(edges, [(1, 1), (1.5, 0.5), (0.5, 1.5)], atol=0.07)


def test_low_rank_outlier_sits_at_the_overlap() -> None:  # row 47
    n = 500
    rng = np.random.default_rng(2)
    m = rng.standard_normal(n)
    right = 1.5 * m / np.mean(m * m) + 0.0
    J = low_rank_couplings(gaussian_couplings(n, 0.8, seed=4), m, right)
    values = np.linalg.eigvals(J.toarray())
    values = values[np.argsort(-np.abs(values))]
    assert values[0].real == pytest.approx(1.5, abs=0.12)
    assert abs(values[1]) < 0.9


@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_low_rank_is_the_matrix_that_it_stands_for(sparsity: float) -> None:
    rng = np.random.default_rng(0)
    base = gaussian_couplings(30, 1.0, sparsity=sparsity, diagonal=True)
    J = low_rank_couplings(base, rng.standard_normal((30, 2)), rng.standard_normal((30, 2)))
    full = J.toarray()
    V = rng.standard_normal((30, 4))
    for operator, matrix in ((J, full), (J.T, full.T)):
        np.testing.assert_allclose(operator @ V, matrix @ V, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(operator @ V[:, 0], matrix @ V[:, 0], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(column_squares(operator), (matrix**2).sum(0), rtol=1e-12)
        np.testing.assert_allclose(diagonal(operator), matrix.diagonal(), rtol=1e-12)
    assert (J.shape, J.dtype, J.rank) == ((30, 30), np.float64, 2)
    assert isinstance(J.T.T, LowRankCoupling)


@pytest.mark.parametrize("dale", ["average", "strict"])
@pytest.mark.parametrize("density", [0.8, 1.0])
def test_ei_radius_and_outlier(dale: str, density: float) -> None:  # papers.md (f)8, row 47
    n = 700
    settings_ = {**DEMO, "density": density, "dale": dale, "gain": 1.4}
    J = dense(ei_couplings(n, seed=1, **settings_))  # type: ignore[arg-type]
    values = np.linalg.eigvals(J)
    values = values[np.argsort(-np.abs(values))]
    radius = ei_radius(**settings_)  # type: ignore[arg-type]
    outlier = ei_outlier(n, **settings_)  # type: ignore[arg-type]
    # f = 0.4: inhibition wins, and the outlier is on the negative side
    assert outlier < -radius
    assert values[0].real == pytest.approx(outlier, rel=0.1)
    assert np.abs(values[1]) == pytest.approx(radius, rel=0.07)


def test_demo_parameters_have_no_chaos_to_freeze() -> None:
    # papers.md (e): R = 0.84 for the demo, 0.24 for the latency set
    assert ei_radius(**DEMO) == pytest.approx(0.84, abs=0.005)
    latency = {"excitatory": 0.4, "mean_e": 0.6, "mean_i": -0.4, "std_e": 0.3, "std_i": 0.3,
               "density": 0.2}
    assert ei_radius(**latency) == pytest.approx(0.24, abs=0.005)


def test_zero_row_sums_remove_the_outlier() -> None:  # row 47
    for density in (1.0, 0.4):
        settings_ = {**DEMO, "density": density, "zero_row_sums": True, "seed": 2}
        J = dense(ei_couplings(600, **settings_))  # type: ignore[arg-type]
        np.testing.assert_allclose(J.sum(1), 0, atol=1e-12)
        del settings_["seed"]
        top = np.abs(np.linalg.eigvals(J)).max()
        assert top == pytest.approx(ei_radius(**settings_), rel=0.07)  # type: ignore[arg-type]
        assert ei_outlier(600, **settings_) == 0  # type: ignore[arg-type]


def test_strict_signs_hold_and_average_ones_do_not() -> None:
    n = 300
    for density in (1.0, 0.5):
        strict = dense(ei_couplings(n, **{**DEMO, "density": density, "dale": "strict"}))  # type: ignore[arg-type]
        assert (strict[:, :120] >= 0).all()
        assert (strict[:, 120:] <= 0).all()
    average = dense(ei_couplings(n, **DEMO))  # type: ignore[arg-type]
    wrong = (average[:, :120] < 0).sum() / (average[:, :120] != 0).sum()
    # papers.md (e): about 25 % wrong signs, Φ(-0.6/0.9)
    assert wrong == pytest.approx(0.2525, abs=0.01)


@given(mean=st.floats(-2, 2), std=st.floats(0.05, 2))
@settings(max_examples=40, deadline=None)
def test_folded_moments_are_those_of_the_folded_normal(mean: float, std: float) -> None:
    z = np.linspace(-10, 10, 20001)
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    folded = np.abs(mean + std * z)
    mu, variance = ei_moments(mean, std, "strict")
    assert abs(mu) == pytest.approx((weight * folded).sum(), rel=1e-5)
    assert variance == pytest.approx((weight * folded**2).sum() - mu * mu, rel=1e-4, abs=1e-9)
    assert ei_moments(mean, std) == (mean, std * std)


def test_own_matrix_is_taken_as_it_is() -> None:
    own = np.random.default_rng(0).standard_normal((4, 4))
    assert check_couplings(own) is own
    assert check_couplings([[1, 2], [3, 4]]).dtype == np.float64
    assert isinstance(check_couplings(sparse.coo_matrix(np.eye(3))), sparse.csr_array)


@pytest.mark.parametrize(
    ("J", "says"),
    [(np.zeros((2, 3)), "square"), (np.zeros(3), "square"), (np.zeros((0, 0)), "square"),
     (np.array([[np.nan, 0], [0, 1]]), "NaN"), (np.eye(2) * 1j, "real"),
     ([[1, 2], [3]], "unequal"), (sparse.csr_array(np.array([[np.inf]])), "NaN or infinite"),
     (sparse.csr_array(np.zeros((2, 3))), "square")])
def test_bad_matrices(J: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_couplings(J, "Flow")


@pytest.mark.parametrize(
    "options",
    [{"n": 0}, {"n": 2.5}, {"gain": -1.0}, {"gain": math.nan}, {"symmetry": 1.5},
     {"sparsity": 1.0}, {"storage": "ram"}, {"seed": -1}, {"seed": 2.0}, {"seed": True}])
def test_bad_gaussian_options(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        gaussian_couplings(**{"n": 5, "gain": 1.0, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "says"),
    [({"density": 0.0}, "density"), ({"mean_i": 0.2}, "mean_i"), ({"std_e": -1}, "std_e"),
     ({"excitatory": 1.2}, "excitatory"), ({"dale": "loose"}, "dale"), ({"seed": -1}, "seed -1"),
     ({"dale": "strict", "zero_row_sums": True}, "zero_row_sums")])
def test_bad_ei_options(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ei_couplings(10, **{**DEMO, **options})  # type: ignore[arg-type]


def test_bad_low_rank_factors() -> None:
    with pytest.raises(InputError, match="left"):
        low_rank_couplings(np.eye(3), np.ones(4), np.ones(3))
    with pytest.raises(InputError, match="factors"):
        low_rank_couplings(np.eye(3), np.ones((3, 2)), np.ones(3))
    with pytest.raises(InputError, match="NaN"):
        low_rank_couplings(np.eye(3), np.full(3, np.nan), np.ones(3))
    with pytest.raises(InputError, match="LowRank"):
        inner = low_rank_couplings(np.eye(3), np.ones(3), np.ones(3))
        low_rank_couplings(inner, np.ones(3), np.ones(3))
