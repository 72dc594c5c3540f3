"""Hebbian plasticity, the other way to freeze."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurosparse.dynamics import Flow, HebbianFlow, Trajectory, gaussian_couplings, simulate
from neurosparse.errors import InputError

N = 10
J = gaussian_couplings(N, 1.8, seed=1)
X0 = np.random.default_rng(0).standard_normal(N)
STRENGTH, TIMESCALE = 3.0, 1.7


def exact(duration: float) -> tuple[np.ndarray, np.ndarray]:
    """State and couplings by an integrator that knows nothing of ours."""

    def right(t: float, y: np.ndarray) -> np.ndarray:
        x, A = y[:N], y[N:].reshape(N, N)
        rate = np.tanh(x)
        dA = (-A + STRENGTH / N * np.outer(rate, rate)) / TIMESCALE
        return np.concatenate([-x + (J + A) @ rate, dA.ravel()])

    y = solve_ivp(right, (0, duration), np.concatenate([X0, np.zeros(N * N)]), rtol=1e-11,
                  atol=1e-12).y[:, -1]
    return y[:N], J + y[N:].reshape(N, N)


@pytest.mark.parametrize(("method", "order"), [("rk4", 2), ("euler", 1)])
def test_order_of_convergence(method: str, order: int) -> None:
    state, couplings = exact(2.0)
    errors = []
    for dt in (0.02, 0.01):
        run = simulate(HebbianFlow(J, STRENGTH, TIMESCALE), X0, duration=2.0, dt=dt, method=method)
        assert run.couplings is not None
        errors.append([np.linalg.norm(run.final - state),
                       np.linalg.norm(run.couplings - couplings)])
    ratios = np.log2(np.array(errors[0]) / errors[1])
    np.testing.assert_allclose(ratios, order, atol=0.25)


def test_no_strength_is_the_vanilla_flow() -> None:
    plastic = simulate(HebbianFlow(J, 0.0), X0, duration=2.0, dt=0.05)
    vanilla = simulate(Flow(J), X0, duration=2.0, dt=0.05)
    np.testing.assert_allclose(plastic.states, vanilla.states, atol=1e-12)
    np.testing.assert_allclose(plastic.energy, vanilla.energy, rtol=1e-10)


def test_running_does_not_change_the_flow_and_it_goes_on_from_its_couplings() -> None:
    flow = HebbianFlow(J, STRENGTH, TIMESCALE)
    before = J.copy()
    whole = simulate(flow, X0, duration=2.0, dt=0.02)
    np.testing.assert_array_equal(J, before)
    np.testing.assert_array_equal(flow.plastic, 0)
    half = simulate(flow, X0, duration=1.0, dt=0.02)
    rest = simulate(HebbianFlow(J, STRENGTH, TIMESCALE, plastic=half.couplings - J), half.final,
                    duration=1.0, dt=0.02)
    np.testing.assert_allclose(rest.final, whole.final, atol=1e-11)


def test_halted_plasticity_leaves_a_fixed_point_behind() -> None:
    # Clark and Abbott 2024: freezable chaos. The same network without plasticity stays chaotic.
    couplings = gaussian_couplings(150, 1.6, seed=4)
    wild = simulate(Flow(couplings), duration=80.0, record_every=2.0)
    moving = simulate(HebbianFlow(couplings, 6.0, 2.0), duration=80.0, record_every=2.0)
    assert moving.couplings is not None
    held = simulate(Flow(moving.couplings), moving.final, duration=80.0, record_every=2.0)
    assert wild.energy[-10:].min() > 1.0
    assert held.energy[-1] < 1e-6


def test_frozen_flow_and_file(tmp_path: Path) -> None:
    run = simulate(HebbianFlow(J, STRENGTH), X0, duration=1.0, store=tmp_path / "run.h5")
    with run:
        assert run.couplings is not None
        frozen = HebbianFlow(J, STRENGTH).frozen(run.couplings - J)
        np.testing.assert_allclose(frozen.J, run.couplings)
        assert run.energy[-1] == pytest.approx(frozen.energy(run.final), rel=1e-6)
    with Trajectory.load(tmp_path / "run.h5") as back:
        assert back.couplings is not None
        assert back.settings["strength"] == STRENGTH


def test_refused() -> None:
    with pytest.raises(InputError, match="timescale"):
        HebbianFlow(J, 1.0, 0.0)
    with pytest.raises(InputError, match="strength"):
        HebbianFlow(J, math.nan)
    with pytest.raises(InputError, match="plastic"):
        HebbianFlow(J, 1.0, plastic=np.eye(3))
    with pytest.raises(InputError, match="plastic"):
        simulate(HebbianFlow(J, 1.0), duration=1.0, method="adaptive")
    with pytest.raises(InputError, match="several states"):
        simulate(HebbianFlow(J, 1.0), np.ones((N, 2)), duration=1.0)
