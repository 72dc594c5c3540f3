"""White noise: the Boltzmann law at γ = 1, and linear networks with known covariance."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov
from scipy.special import iv, jv

from neurosparse.dynamics import Flow, gaussian_couplings, simulate
from neurosparse.dynamics.noise import euler_maruyama, heun

T = 0.3


def linear_flow(n: int = 12, g: float = 0.5, gamma: float = 1.0) -> Flow:
    return Flow(gaussian_couplings(n, g, seed=2), gamma, "linear", temperature=T)


def boltzmann(flow: Flow) -> np.ndarray:
    """T [(1-J)ᵀ(1-J)]⁻¹, papers.md (f)7."""
    A = np.eye(flow.size) - flow.J
    return T * np.linalg.inv(A.T @ A)


def stationary(step_matrix: np.ndarray, noise_matrix: np.ndarray) -> np.ndarray:
    """Σ = A Σ Aᵀ + B Bᵀ by doubling."""
    sigma, power = noise_matrix @ noise_matrix.T, step_matrix
    for _ in range(40):
        sigma = sigma + power @ sigma @ power.T
        power = power @ power
    return sigma


@pytest.mark.parametrize("scheme", [euler_maruyama, heun])
def test_one_step_is_the_recursion_whose_covariance_is_tested(scheme) -> None:  # type: ignore[no-untyped-def]
    flow, h = linear_flow(), 0.1
    A, B = recursion(flow, scheme, h)
    x = np.random.default_rng(0).standard_normal(flow.size)
    made = scheme(flow, h, np.random.default_rng(9))(x, 0.0)
    xi = np.random.default_rng(9).standard_normal(flow.size)
    np.testing.assert_allclose(made, A @ x + B @ xi, rtol=1e-12, atol=1e-13)


def recursion(flow: Flow, scheme, h: float) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    M, one = flow.jacobian(np.zeros(flow.size)), np.eye(flow.size)
    root = math.sqrt(2 * T * h)
    if scheme is euler_maruyama:
        return one + h * M, root * one
    return one + h * M + 0.5 * h * h * M @ M, root * (one + 0.5 * h * M)


@pytest.mark.parametrize(("scheme", "order"), [(euler_maruyama, 1), (heun, 2)])
def test_covariance_of_the_steps_tends_to_boltzmann(scheme, order: int) -> None:  # type: ignore[no-untyped-def]
    flow = linear_flow()
    exact = boltzmann(flow)
    errors = [np.linalg.norm(stationary(*recursion(flow, scheme, h)) - exact)
              for h in (0.04, 0.02, 0.01)]
    assert errors[-1] < 0.02 * np.linalg.norm(exact)
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.12)


def test_sampled_covariance_is_boltzmann() -> None:  # papers.md (f)7
    flow, runs = linear_flow(), 300
    run = simulate(flow, np.zeros((flow.size, runs)), duration=40.0, transient=20.0, dt=0.05,
                   record_every=1.0, seed=6, energy=False)
    weights, modes = np.linalg.eigh(boltzmann(flow))
    amplitudes = np.einsum("im,tis->tms", modes, run.states)
    # runs are independent: the error over runs is honest
    squares = (amplitudes**2).mean(axis=0) / weights[:, None]
    mean, error = squares.mean(axis=1), squares.std(axis=1, ddof=1) / math.sqrt(runs)
    assert np.abs((mean - 1) / error).max() < 4.2
    assert error.max() < 0.06
    cross = (amplitudes[:, 0] * amplitudes[:, 1]).mean(axis=0) / math.sqrt(weights[0] * weights[1])
    assert abs(cross.mean()) < 4.2 * cross.std() / math.sqrt(runs)


def test_boltzmann_law_of_two_nonlinear_neurons() -> None:
    flow = Flow(np.array([[0.4, 1.6], [-0.7, 0.9]]), 1.0, temperature=0.15)
    grid = np.linspace(-6, 6, 401)
    points = np.stack([a.ravel() for a in np.meshgrid(grid, grid, indexing="ij")])
    weight = np.exp(-flow.energy(points) / flow.temperature)
    weight /= weight.sum()
    runs = 1500
    run = simulate(flow, np.random.default_rng(0).standard_normal((2, runs)), duration=30.0,
                   transient=15.0, dt=0.03, record_every=3.0, seed=1)
    for name, f in {"xx": lambda x: x[0] ** 2, "xy": lambda x: x[0] * x[1],
                    "yy": lambda x: x[1] ** 2, "cos": lambda x: np.cos(2 * x[1])}.items():
        sampled = np.mean([f(x) for x in run.states], axis=0)
        error = sampled.std() / math.sqrt(runs)
        assert abs(sampled.mean() - weight @ f(points)) < 4.2 * error, name
    # equipartition of what is quadratic in f is not exact here, but E itself is the law's
    mean = run.energy.mean(axis=0)
    assert abs(mean.mean() - weight @ flow.energy(points)) < 4.2 * mean.std() / math.sqrt(runs)


@pytest.mark.parametrize(
    ("g", "eta", "variance", "tolerance"),
    [(0.5, 0.0, 0.57735027, 0.006), (0.8, 0.0, 0.83333333, 0.03), (0.5, 0.5, 0.65085186, 0.008)])
def test_variance_of_a_noisy_linear_network(g: float, eta: float, variance: float,
                                            tolerance: float) -> None:
    # rows 22 and 23, white noise intensity 1, so T = 1/2; N = 400 for the limit
    flow = Flow(gaussian_couplings(400, g, symmetry=eta, seed=8), 0.0, "linear", temperature=0.5)
    M = flow.jacobian(np.zeros(400))
    covariance = solve_continuous_lyapunov(M, -2 * flow.temperature * np.eye(400))
    assert np.trace(covariance) / 400 == pytest.approx(variance, abs=tolerance)


@pytest.mark.parametrize(
    ("eta", "t", "response"),
    [(0.5, 1.0, 0.391356), (0.5, 2.0, 0.172109), (0.5, 4.0, 0.043863), (-0.5, 1.0, 0.345361),
     (0.0, 1.0, math.exp(-1))])
def test_averaged_response_of_an_elliptic_network(eta: float, t: float, response: float) -> None:
    # row 21
    z = 2 * 0.5 * math.sqrt(abs(eta)) * t
    if eta:
        bessel = iv if eta > 0 else jv
        assert math.exp(-t) * bessel(1, z) / (z / 2) == pytest.approx(response, abs=1e-6)
    flow = Flow(gaussian_couplings(500, 0.5, symmetry=eta, seed=4), 0.0, "linear")
    found = np.trace(expm(flow.jacobian(np.zeros(500)) * t)) / 500
    assert found == pytest.approx(response, abs=2e-3)


def test_zero_temperature_heun_is_the_deterministic_one() -> None:
    flow = Flow(gaussian_couplings(10, 1.5), 0.4)
    a = simulate(flow, duration=1.0, method="heun", seed=1)
    b = simulate(flow, duration=1.0, method="rk4", seed=1)
    np.testing.assert_allclose(a.final, b.final, atol=1e-3)
