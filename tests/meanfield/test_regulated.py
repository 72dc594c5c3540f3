"""Mean-field theory of the regulated flow: random-matrix laws, Boltzmann, networks, refusals."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from neurosparse.dynamics import gain as find_gain
from neurosparse.dynamics import gaussian_couplings
from neurosparse.errors import InputError
from neurosparse.meanfield.random_matrices import regulated_density, regulated_edges
from neurosparse.meanfield.regulated import regulated
from neurosparse.meanfield.two_time import two_time


def test_linear_gradient_flow_against_the_density_of_squared_singular_values() -> None:
    # x' = -(1 - J)ᵀ(1 - J) x: C(t, s) = ∫ρ(λ) e^(-λ(t + s)),
    # φ to b -∫ρ e^(-λt), f to h -∫ρ λ e^(-λt)
    gain, dt = 0.5, 0.02
    result = regulated(gain, 1.0, "linear", duration=2.0, dt=dt)
    low, high = regulated_edges(gain)

    def law(time: float, power: int = 0) -> float:
        return float(quad(lambda v: float(regulated_density(v, gain)) * v**power
                          * math.exp(-v * time), low, high, limit=200)[0])

    for n, m in ((50, 0), (100, 0), (100, 50), (40, 40)):
        assert result.covariance[n, m] == pytest.approx(law(dt * (n + m)), abs=2e-4)
    for start in (0, 30):
        for lag in (10, 50):
            n, time = start + lag, dt * lag
            assert result.responses["phi/b"][n, start] == pytest.approx(-law(time), abs=1.5e-3)
            assert result.responses["f/h"][n, start] == pytest.approx(-law(time, 1), abs=3e-3)
    assert result.responses["f/h"][7, 7] == pytest.approx(-(1 + gain**2))


@pytest.mark.parametrize(("gain", "gamma", "symmetry"),
                         [(0.6, 0.5, 0.0), (0.5, 0.7, 0.6), (0.5, 1.0, -0.5), (1.2, 0.3, 0.0)])
def test_linear_flow_against_one_large_matrix(gain: float, gamma: float, symmetry: float) -> None:
    n, dt, every = 500, 0.025, 16
    J = gaussian_couplings(n, gain, symmetry=symmetry, seed=1, storage="dense")
    A, B = np.eye(n) - J, np.eye(n) - gamma * J.T
    step = scipy.linalg.expm(-every * dt * B @ A)
    result = regulated(gain, gamma, "linear", symmetry=symmetry, duration=2.5, dt=dt)
    power = np.eye(n)
    for k in range(6):
        row, late = every * k, every * k + 10
        traces = {"x/h": power @ B, "x/b": -gamma * power, "f/h": -A @ power @ B,
                  "f/b": gamma * A @ power}
        assert result.covariance[row, 0] == pytest.approx(np.trace(power) / n, abs=3e-3)
        if k:
            for name, matrix in traces.items():
                wanted = np.trace(matrix) / n
                assert result.responses[name][late, 10] == pytest.approx(wanted, abs=8e-3)
        power = power @ step


@pytest.mark.parametrize("gain", [0.0, 0.4, 0.6])
def test_linear_langevin_reaches_boltzmann_and_obeys_fluctuation_dissipation(gain: float) -> None:
    # large N: T tr[(1 - J)ᵀ(1 - J)]⁻¹ / N = T / (1 - g²)
    temperature, dt = 0.3, 0.08
    result = regulated(gain, 1.0, "linear", temperature=temperature, duration=16.0, dt=dt,
                       initial_variance=temperature / (1 - gain**2))
    assert result.covariance[-1, -1] == pytest.approx(temperature / (1 - gain**2), rel=6e-3)
    # T R(t, s) = dC/ds, and a field b enters as -γ times a force
    lags = np.arange(4, 40)
    slope = (result.covariance[-1, -lags] - result.covariance[-1, -lags - 2]) / (2 * dt)
    answer = -result.responses["x/b"][-1, -lags - 1]
    assert temperature * answer == pytest.approx(slope, abs=2e-3)


@settings(max_examples=8, deadline=None)
@given(st.floats(0.1, 1.2), st.floats(0.1, 1.0), st.sampled_from([0.0, 0.5, -0.8]),
       st.sampled_from([0.0, 0.2]))
def test_sampling_a_linear_network_is_exact(
    gain: float, gamma: float, symmetry: float, temperature: float
) -> None:
    options: dict[str, Any] = {"symmetry": symmetry, "temperature": temperature, "duration": 1.0,
                               "dt": 0.05, "smooth": False}
    exact = regulated(gain, gamma, "linear", **options)
    drawn = regulated(gain, gamma, "linear", method="sampled", trajectories=800, replicas=2,
                      **options)
    for name, value in {**exact.covariances, **exact.responses}.items():
        other = {**drawn.covariances, **drawn.responses}[name]
        assert np.abs(value - other).max() < 1e-9, name


def test_gamma_zero_is_the_vanilla_theory() -> None:
    options: dict[str, Any] = {"duration": 2.0, "dt": 0.1, "trajectories": 2000, "replicas": 2}
    one = regulated(1.5, 0.0, symmetry=0.5, **options)
    two = two_time(1.5, symmetry=0.5, **options)
    assert np.array_equal(one.covariance, two.covariance)
    near = regulated(1.5, 1e-9, symmetry=0.5, **options)
    assert near.covariance == pytest.approx(one.covariance, abs=0.1)


def test_energy_falls_along_the_gradient_flow() -> None:
    result = regulated(2.0, 1.0, duration=3.0, dt=0.04, trajectories=4 * 1300, replicas=4)
    assert result.energy[0] == pytest.approx(0.5 * (1 + 4 * 0.394294), rel=0.02)
    assert np.all(np.diff(result.energy[::15]) < 0)
    for covariance in result.covariances.values():
        assert np.linalg.eigvalsh(covariance).min() > -1e-10


def test_bad_arguments_are_refused() -> None:
    def slope(x: Any) -> Any:
        return 1 / np.cosh(x) ** 2

    with pytest.raises(InputError, match="φ''"):
        regulated(1.0, 1.0, (np.tanh, slope), duration=1.0)
    with pytest.raises(InputError, match="kink"):
        regulated(1.0, 1.0, "relu", duration=1.0)
    with pytest.raises(InputError, match="gamma"):
        regulated(1.0, math.nan, duration=1.0)
    with pytest.raises(InputError, match="temperature"):
        regulated(1.0, 1.0, duration=1.0, temperature=-1.0)
    assert find_gain("relu").kinks  # what the refusal goes by


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "gamma"), [(2.0, 0.5), (0.7, 1.0)])
def test_agrees_with_networks(gain: float, gamma: float) -> None:
    path = Path(__file__).parents[2] / "theory" / "regulated_dmft.py"
    spec = importlib.util.spec_from_file_location("regulated_dmft", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    options = {**script.QUICK, "n": 400, "draws": 8, "dt": 0.05, "duration": 4.0}
    theory = regulated(gain, gamma, duration=4.0, dt=0.05, replicas=4)
    draws = [script.network(gain, gamma, options, seed) for seed in range(options["draws"])]
    rows = script.report(script.compare(theory, draws, options))
    for name, (ratio, largest, value) in rows.items():
        assert 0.2 < ratio < 2.5, name
        assert largest < 0.15 * max(1.0, value), name
