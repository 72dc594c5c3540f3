"""The map: its Jacobian, its determinant, its kinship with Euler."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse.dynamics import Flow, Map, gaussian_couplings, low_rank_couplings, simulate
from neurosparse.dynamics.tasks import memory_curve
from neurosparse.errors import InputError

N = 20


@pytest.mark.parametrize("delta", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("phi", ["tanh", "sigmoid"])
def test_linearisation_and_determinant(delta: float, phi: str) -> None:  # row 19
    system = Map(gaussian_couplings(N, 1.5, diagonal=True), delta, phi, drive=0.2)
    x, h = np.random.default_rng(0).standard_normal(N), 1e-6
    numeric = np.stack([(system.step(x + h * e) - system.step(x - h * e)) / (2 * h)
                        for e in np.eye(N)], axis=1)
    at = system.linearise(x)
    np.testing.assert_allclose(at.matmat(np.eye(N)), numeric, atol=1e-8)
    np.testing.assert_allclose(at.matmat(x), numeric @ x, atol=1e-8)
    known = at.log_abs_determinant()
    assert known is not None
    assert known == pytest.approx(np.linalg.slogdet(at.matmat(np.eye(N)))[1], abs=1e-10)


def test_map_is_the_euler_scheme_of_the_flow() -> None:
    J = gaussian_couplings(N, 1.5)
    x = np.random.default_rng(1).standard_normal(N)
    run = simulate(Map(J, 0.05), x, duration=40)
    flow = simulate(Flow(J), x, duration=2.0, dt=0.05, method="euler")
    np.testing.assert_allclose(run.states, flow.states, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(run.energy, flow.energy, rtol=1e-10)
    np.testing.assert_array_equal(run.times, np.arange(41))


def test_columns_drive_and_low_rank() -> None:
    J = low_rank_couplings(gaussian_couplings(N, 1.0), np.ones(N), np.ones(N))
    system = Map(J, 1.0, drive=lambda n: np.full(N, float(n)))
    X = np.random.default_rng(0).standard_normal((N, 3))
    np.testing.assert_allclose(system.step(X, 2)[:, 1], system.step(X[:, 1], 2))
    np.testing.assert_allclose(system.step(X[:, 0], 3) - system.step(X[:, 0], 1), 2.0)
    assert system.energy(X, 2)[2] == pytest.approx(system.energy(X[:, 2], 2))


def test_times_of_a_map_are_whole_steps() -> None:
    system, x = Map(gaussian_couplings(N, 1.5)), np.ones(N)
    whole = simulate(system, x, duration=10)
    run = simulate(system, x, duration=10, record_every=5)
    np.testing.assert_array_equal(run.times, [0, 5, 10])
    np.testing.assert_array_equal(run.states, whole.states[::5])
    assert run.settings["dt"] == 1.0
    with pytest.raises(InputError, match=r"record_every 2\.5 .*whole number of steps"):
        simulate(system, x, duration=10, record_every=2.5)
    with pytest.raises(InputError, match=r"record_every 'a'"):
        simulate(system, x, duration=10, record_every="a")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Take duration 9 or 12\."):
        simulate(system, x, duration=10, record_every=3)


def test_a_drive_is_asked_by_whole_numbers() -> None:
    table = np.random.default_rng(3).standard_normal((6, N))
    # a list: an index that is no int is an error
    rows = list(table)
    J = gaussian_couplings(N, 1.5)
    system = Map(J, drive=lambda n: rows[n])
    run = simulate(system, np.ones(N), duration=5)
    x = np.ones(N)
    for n in range(5):
        x = J @ np.tanh(x) + table[n]
        np.testing.assert_allclose(run.states[n + 1], x, rtol=1e-12)
        speed = J @ np.tanh(x) - x + table[n + 1]
        assert run.energy[n + 1] == pytest.approx(0.5 * speed @ speed)
    # as what shares its loop with the flows calls them
    np.testing.assert_array_equal(system.speed(x, 2.0), system.speed(x, 2))
    np.testing.assert_array_equal(system.step(x, np.float64(2.0)), system.step(x, 2))
    found = memory_curve(Map(J), signal=lambda n: rows[n % 6][0], steps=60, transient=10)
    assert found.status == "finished"


def test_dead_neuron_has_determinant_minus_infinity() -> None:
    system = Map(gaussian_couplings(N, 1.0, diagonal=True), 1.0, "relu")
    assert system.linearise(-np.ones(N)).log_abs_determinant() == -np.inf


@pytest.mark.parametrize("delta", [0.0, -0.1, 1.5, float("nan")])
def test_refused(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        Map(np.eye(3), delta)
    with pytest.raises(InputError, match="dt"):
        simulate(Map(np.eye(3)), duration=5, dt=0.1)
    with pytest.raises(InputError, match="whole number"):
        simulate(Map(np.eye(3)), duration=5.5)
