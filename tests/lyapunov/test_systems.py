"""The user's systems: compiled and plain loops agree, tangents are derivatives."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from neurosparse import lyapunov
from neurosparse.lyapunov import DiscreteSystem, System, gallery
from neurosparse.lyapunov.compiled import orthonormalise_rows
from neurosparse.lyapunov.propagator import propagator
from neurosparse.lyapunov.tableaus import METHODS, tableau

MAKERS = [
    getattr(gallery, name)
    for name in gallery.__all__
    if name.islower() and inspect.isfunction(getattr(gallery, name))
]


def plain(system):
    """The same system with functions that return instead of writing into ``out``."""
    advance, tangent, p = system.advance.py_func, system.tangent.py_func, system.parameters

    def returning(t, x):
        out = np.zeros(system.size)
        advance(t, x, out, p)
        return out

    def columns(t, x, frame):
        out = np.zeros_like(frame)
        for i in range(frame.shape[1]):
            column = np.zeros(system.size)
            tangent(t, x, frame[:, i].copy(), column, p)
            out[:, i] = column
        return out

    trace = system.trace.py_func if callable(system.trace) else system.trace
    options = {"x0": system.x0, "parameters": p, "timescale": system.timescale}
    if system.discrete:
        return DiscreteSystem(returning, columns, system.size, log_determinant=trace, **options)
    return System(returning, columns, system.size, trace=trace, **options)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_tangent_is_the_derivative(make):
    system = make()
    slow = plain(system)
    rng = np.random.default_rng(0)
    x = np.abs(system.x0) * 0.9 + 0.05 * rng.random(system.size)
    direction = rng.standard_normal((system.size, 1))
    step = 1e-6
    ahead = slow.advance(3, x + step * direction[:, 0])
    behind = slow.advance(3, x - step * direction[:, 0])
    difference = (ahead - behind) / (2 * step)
    assert np.allclose(slow.tangent(3, x, direction)[:, 0], difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_trace_is_the_trace(make):
    system = make()
    if system.trace is None:
        pytest.skip("no trace given")
    slow = plain(system)
    x = system.x0 + 0.05 * np.random.default_rng(1).random(system.size)
    jacobian = slow.tangent(3, x, np.eye(system.size))
    given_trace = slow.call(slow.trace, 3, x) if callable(slow.trace) else slow.trace
    exact = np.linalg.slogdet(jacobian)[1] if system.discrete else np.trace(jacobian)
    assert abs(given_trace - exact) < 1e-9 * max(1, abs(exact))


@pytest.mark.parametrize("make", [gallery.van_der_pol, gallery.ikeda], ids=["flow", "map"])
@pytest.mark.parametrize("method", [None, "dop853"])
def test_compiled_and_plain_loops_agree(make, method):
    system = make()
    if system.discrete and method:
        pytest.skip("maps have no method")
    options = {
        "transient": 2.0, "warmup": 3.0, "duration": 6.0 if system.discrete else 4.0,
        "interval": 1.0 if system.discrete else 0.25, "method": method,
    }  # fmt: skip
    fast = lyapunov.spectrum(system, **options)
    slow = lyapunov.spectrum(plain(system), **options)
    assert np.abs(fast.exponents - slow.exponents).max() < 1e-10
    assert np.abs(fast.block_logs - slow.block_logs).max() < 1e-10
    assert abs(fast.volume - slow.volume) < 1e-10
    assert fast.settings["propagator"]["compiled"]
    assert not slow.settings["propagator"]["compiled"]


@njit
def _decay(t, x, out):
    out[0] = -0.5 * x[0]
    out[1] = -1.5 * x[1]


@njit
def _decay_tangent(t, x, v, out):
    out[0] = -0.5 * v[0]
    out[1] = -1.5 * v[1]


@njit
def _decay_trace(t, x):
    return -2.0


def test_compiled_functions_without_parameters():
    system = System(_decay, _decay_tangent, 2, trace=_decay_trace)
    found = lyapunov.spectrum(system, duration=20, transient=0.0, warmup=30)
    assert np.abs(found.exponents - [-0.5, -1.5]).max() < 1e-9
    assert found.sum_rule_residual < 1e-9
    assert found.settings["propagator"]["method"] == "rk4"


def test_parameters_reach_plain_functions():
    system = System(lambda t, x, p: p[0] * x, lambda t, x, v, p: p[0] * v, 1, parameters=(-0.25,))
    found = lyapunov.spectrum(system, duration=5, transient=0.0, warmup=0)
    assert abs(found.exponents[0] + 0.25) < 1e-9


@pytest.mark.parametrize(("method", "order"), [*zip(METHODS, (4, 5, 8), strict=True)])
def test_order_of_the_methods(method, order):
    table = tableau(method)
    assert np.allclose(table.stages.sum(axis=1), table.nodes)
    # an oscillator, whose exact tangent is a rotation
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    system = System(lambda t, x: turn @ x, lambda t, x, v: turn @ v, 2, x0=[1.0, 0.0])
    errors = []
    for steps in (4, 8):
        carrier = propagator(system, method=method, dt=1 / steps)
        frame = carrier.carry(np.asfortranarray(np.eye(2)), steps)
        exact = np.array([[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]])
        errors.append(np.abs(frame - exact).max())
        assert np.abs(carrier.state()["x"] - exact[:, 0]).max() == pytest.approx(errors[-1], rel=2)
    assert order - 0.4 < np.log2(errors[0] / errors[1]) < order + 1.4


def test_systems_travel_between_processes():
    found = pickle.loads(pickle.dumps(gallery.lorenz63()))
    here = lyapunov.spectrum(gallery.lorenz63(), duration=2, transient=0, warmup=1)
    assert (lyapunov.spectrum(found, duration=2, transient=0, warmup=1).exponents
            == here.exponents).all()  # fmt: skip


def test_a_propagator_is_a_system():
    carrier = propagator(gallery.cat())
    found = lyapunov.spectrum(carrier, duration=100)
    assert abs(found.exponents[0] - np.log((3 + np.sqrt(5)) / 2)) < 1e-10


@given(k=st.integers(1, 6), extra=st.integers(0, 4), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_compiled_orthonormalisation(k, extra, seed):
    rows = np.random.default_rng(seed).standard_normal((k, k + extra))
    q, logs = rows.copy(), np.zeros(k)
    orthonormalise_rows(q, logs)
    assert np.abs(q @ q.T - np.eye(k)).max() < 1e-13
    upper = np.linalg.qr(rows.T)[1]
    assert np.allclose(logs, np.log(np.abs(np.diag(upper))), atol=1e-10)


def test_compiled_orthonormalisation_redraws_a_lost_row():
    rows = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 0.0, 0.0]])
    logs = np.zeros(3)
    orthonormalise_rows(rows, logs)
    assert np.isneginf(logs[1:]).all()
    assert np.abs(rows @ rows.T - np.eye(3)).max() < 1e-14
