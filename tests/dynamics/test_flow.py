"""The flow: gradient, Jacobian, symmetries, what γ leaves alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.dynamics import Flow, gaussian_couplings, low_rank_couplings, threshold_power
from neurosparse.dynamics.couplings import dense
from neurosparse.errors import InputError

N = 24
GAINS: list[Any] = ["tanh", "erf", "linear", "sigmoid", threshold_power(3.0, -0.2)]
KINDS = ["dense", "elliptic", "sparse", "low-rank"]


def make(kind: str, seed: int = 0) -> Any:
    """Couplings of each storage, with a diagonal so that it is tested too."""
    if kind == "dense":
        return gaussian_couplings(N, 1.4, diagonal=True, seed=seed)
    if kind == "elliptic":
        return gaussian_couplings(N, 1.4, symmetry=0.5, seed=seed)
    base = gaussian_couplings(N, 1.4, sparsity=0.6, diagonal=True, seed=seed)
    if kind == "sparse":
        return base
    rng = np.random.default_rng(seed)
    return low_rank_couplings(base, rng.standard_normal((N, 2)), rng.standard_normal((N, 2)))


def state(seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, 7]).standard_normal(N)


def wave(t: float) -> np.ndarray:
    return np.sin(t + np.arange(N))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phi", GAINS, ids=lambda g: getattr(g, "name", g))
@pytest.mark.parametrize("inside", [None, True])
def test_drift_is_minus_the_gradient_of_energy(kind: str, phi: Any, inside: bool | None) -> None:
    # papers.md (f)2, relative error below 1e-6
    flow = Flow(make(kind), 1.0, phi, drive=wave if inside else None, drive_inside=bool(inside))
    x, h, t = state(1), 1e-5, 0.4
    numeric = np.array([(flow.energy(x + h * e, t) - flow.energy(x - h * e, t)) / (2 * h)
                        for e in np.eye(N)])
    drift = flow.drift(x, t)
    assert np.linalg.norm(drift + numeric) < 1e-6 * np.linalg.norm(drift)
    np.testing.assert_allclose(flow.gradient(x, t), -drift, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phi", GAINS, ids=lambda g: getattr(g, "name", g))
@pytest.mark.parametrize("gamma", [0.0, 0.35, 1.0, -0.5])
@pytest.mark.parametrize("drive", ["none", "inside", "outside"])
def test_tangent_action_is_the_derivative(kind: str, phi: Any, gamma: float, drive: str) -> None:
    flow = Flow(make(kind), gamma, phi, drive=None if drive == "none" else wave,
                drive_inside=drive == "inside")
    x, h, t = state(2), 1e-6, 1.3
    numeric = np.stack([(flow.drift(x + h * e, t) - flow.drift(x - h * e, t)) / (2 * h)
                        for e in np.eye(N)], axis=1)
    at = flow.linearise(x, t)
    size = np.linalg.norm(numeric)
    M = flow.jacobian(x, t)
    assert np.linalg.norm(M - numeric) < 1e-7 * size
    np.testing.assert_allclose(at.matmat(np.eye(N)), M, atol=1e-13 * size)
    np.testing.assert_allclose(at.rmatmat(np.eye(N)), M.T, atol=1e-13 * size)
    np.testing.assert_allclose(at.matmat(x), M @ x, atol=1e-12 * size)
    assert at.trace() == pytest.approx(np.trace(M), rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("phi", GAINS, ids=lambda g: getattr(g, "name", g))
def test_jacobian_is_symmetric_at_gamma_one_only(phi: Any) -> None:
    x = state(3)
    M = Flow(make("dense"), 1.0, phi).jacobian(x)
    np.testing.assert_allclose(M, M.T, atol=1e-13 * np.abs(M).max())
    M = Flow(make("dense"), 0.9, phi).jacobian(x)
    assert np.abs(M - M.T).max() > 1e-3


def test_curvature_term_uses_the_force_not_the_state() -> None:
    # papers.md (e): the published code takes J x where J φ(x) belongs; at γ = 1 that shows on the
    # diagonal alone, which symmetry cannot see
    J, x = make("dense"), state(4)
    right = np.diag(Flow(J, 1.0).jacobian(x))
    wrong_force = J.T @ (J @ x - x)
    curvature = -2 * np.tanh(x) / np.cosh(x) ** 2
    d = 1 / np.cosh(x) ** 2
    wrong = -1 + J.diagonal() * d - (d * ((J**2).sum(0) * d - J.diagonal())
                                     + curvature * wrong_force)
    assert np.abs(right - wrong).max() > 0.1


@given(seed=st.integers(0, 10**6), gamma=st.floats(-1, 2))
@settings(max_examples=30, deadline=None)
def test_permutation_of_neurons(seed: int, gamma: float) -> None:
    J, x = make("dense", seed), state(seed)
    p = np.random.default_rng(seed).permutation(N)
    moved = Flow(J[np.ix_(p, p)], gamma).drift(x[p])
    np.testing.assert_allclose(moved, Flow(J, gamma).drift(x)[p], rtol=1e-11, atol=1e-11)


@given(seed=st.integers(0, 10**6), gamma=st.floats(-1, 2))
@settings(max_examples=30, deadline=None)
def test_orthogonal_change_of_basis_for_a_linear_gain(seed: int, gamma: float) -> None:
    J, x = make("dense", seed), state(seed)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((N, N)))[0]
    moved = Flow(Q @ J @ Q.T, gamma, "linear").drift(Q @ x)
    np.testing.assert_allclose(moved, Q @ Flow(J, gamma, "linear").drift(x), rtol=1e-10,
                               atol=1e-10)


@given(seed=st.integers(0, 10**6), gamma=st.floats(-1, 2))
@settings(max_examples=20, deadline=None)
def test_odd_gain_gives_an_odd_drift_and_signs_can_be_flipped(seed: int, gamma: float) -> None:
    J, x = make("dense", seed), state(seed)
    s = np.sign(np.random.default_rng(seed).standard_normal(N))
    flow = Flow(J, gamma)
    np.testing.assert_allclose(flow.drift(-x), -flow.drift(x), rtol=1e-12, atol=1e-13)
    flipped = Flow(s[:, None] * J * s, gamma)
    np.testing.assert_allclose(flipped.drift(s * x), s * flow.drift(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_states(kind: str) -> None:
    X = np.random.default_rng(0).standard_normal((N, 3))
    for inside in (False, True):
        flow = Flow(make(kind), 0.7, drive=wave, drive_inside=inside)
        for name in ("speed", "drift", "gradient"):
            both = getattr(flow, name)(X, 0.2)
            one = np.stack([getattr(flow, name)(x, 0.2) for x in X.T], axis=1)
            np.testing.assert_allclose(both, one, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(flow.energy(X, 0.2), [flow.energy(x, 0.2) for x in X.T])


def test_inside_and_outside_differ_by_the_reaction_to_the_drive() -> None:
    J, x, gamma = make("dense"), state(5), 0.6
    drive = wave(0.0)
    inside = Flow(J, gamma, drive=drive, drive_inside=True).drift(x)
    outside = Flow(J, gamma, drive=drive).drift(x)
    np.testing.assert_allclose(inside - outside, -gamma * (J.T @ drive) / np.cosh(x) ** 2,
                               rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(Flow(J, 0.0, drive=0.3).drift(x),
                                  Flow(J, 0.0, drive=lambda t: 0.3).drift(x))


@given(seed=st.integers(0, 10**6), gamma=st.floats(-1, 2))
@settings(max_examples=20, deadline=None)
def test_symmetric_couplings_descend_their_own_energy(seed: int, gamma: float) -> None:
    # papers.md (f)4: V = ½ Σ x φ' ... falls along the vanilla flow: d/dt [Σ(xφ - ∫φ) - ½ φJφ] =
    # -Σ φ' f², and the Onsager force of a zero of f is zero for any γ
    J = gaussian_couplings(N, 1.8, symmetry=1.0, seed=seed)
    x = state(seed)
    flow = Flow(J)
    f, phi, d = flow.speed(x), np.tanh(x), 1 / np.cosh(x) ** 2

    def potential(y: np.ndarray) -> float:
        p = np.tanh(y)
        return float(np.sum(y * p - np.log(np.cosh(y))) - 0.5 * p @ J @ p)

    h = 1e-5
    rate = (potential(x + h * f) - potential(x - h * f)) / (2 * h)
    assert rate == pytest.approx(-np.sum(d * f * f), rel=1e-6)
    assert phi.shape == f.shape
    # sparse and dense agree on the reaction force
    reaction = flow.drift(x) - Flow(J, gamma).drift(x)
    np.testing.assert_allclose(reaction, gamma * d * (J @ f), rtol=1e-10, atol=1e-12)


def test_spectrum_at_rest_is_minus_the_squared_singular_values() -> None:
    # papers.md (f)3
    J = make("dense")
    values = np.linalg.eigvalsh(Flow(J, 1.0).jacobian(np.zeros(N)))
    np.testing.assert_allclose(values, -np.linalg.svd(np.eye(N) - J)[1] ** 2, rtol=1e-12)


@pytest.mark.parametrize(("g", "upper"), [(0.5, 3.098), (0.9, 5.885), (1.0, 6.75)])
def test_stable_step_is_that_of_the_closed_form_edge(g: float, upper: float) -> None:
    flow = Flow(gaussian_couplings(500, g, seed=1), 1.0)
    assert 2 / flow.stable_step("euler") == pytest.approx(upper, rel=0.06)
    assert flow.stable_step("rk4") / flow.stable_step("euler") == pytest.approx(1.39265, rel=1e-4)
    assert flow.stable_step("adaptive") == math.inf


def test_euler_at_one_hundredth_is_unstable_from_a_gain_of_seven() -> None:
    # papers.md (e)
    steps = [Flow(gaussian_couplings(400, g), 1.0).stable_step("euler") for g in (6.5, 8.0)]
    assert steps[0] > 0.0098 > steps[1] * 1.2


@pytest.mark.parametrize(
    ("options", "says"),
    [({"gamma": math.nan}, "gamma"), ({"temperature": -1.0}, "temperature"),
     ({"drive": np.ones(3)}, "drive"), ({"drive": lambda t: np.nan}, "drive"),
     ({"drive": "sine"}, "drive"), ({"phi": "cube"}, "phi")])
def test_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Flow(make("dense"), **options)


def test_a_gain_without_second_derivative_serves_the_vanilla_flow_only() -> None:
    own = (np.tanh, lambda x: 1 / np.cosh(x) ** 2)
    J = make("dense")
    np.testing.assert_allclose(Flow(J, 0.0, own).jacobian(state()), Flow(J).jacobian(state()))
    np.testing.assert_allclose(Flow(J, 1.0, own).drift(state()), Flow(J, 1.0).drift(state()))
    with pytest.raises(InputError, match="second derivative"):
        Flow(J, 1.0, own).linearise(state())


def test_all_storages_give_one_flow() -> None:
    x = state()
    for kind in ("sparse", "low-rank"):
        J = make(kind)
        for gamma in (0.0, 1.0):
            np.testing.assert_allclose(Flow(J, gamma).drift(x), Flow(dense(J), gamma).drift(x),
                                       rtol=1e-12, atol=1e-12)
