"""The torch propagator of a flow: the exponents of the NumPy one, from the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosparse import dynamics, lyapunov
from neurosparse.errors import InputError
from neurosparse.lyapunov.propagator import propagator
from neurosparse.models import DeviceFlowPropagator, flow_operator

SIZE = 40
LENGTHS: dict[str, Any] = {"duration": 30.0, "transient": 10.0, "warmup": 5.0}


def flow() -> dynamics.Flow:
    return dynamics.Flow(dynamics.gaussian_couplings(SIZE, 3.0, seed=1))


@pytest.mark.parametrize("k", [1, 7, SIZE])
@pytest.mark.parametrize("interval", [0.5, None])
def test_exponents_are_those_of_the_cpu(k: int, interval: float | None) -> None:
    wanted = lyapunov.spectrum(flow(), k, dt=0.1, interval=interval, seed=3, **LENGTHS)
    carrier = DeviceFlowPropagator(flow(), dt=0.1, device="cpu", seed=3)
    found = lyapunov.spectrum(carrier, k, interval=interval, seed=3, **LENGTHS)
    assert found.status == wanted.status
    np.testing.assert_allclose(found.exponents, wanted.exponents, atol=1e-10)
    np.testing.assert_allclose(found.stderr, wanted.stderr, atol=1e-9)


def test_a_frame_that_is_too_ill_conditioned_is_factored_by_householder(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a guard that no frame passes: the other way, and the same exponents."""
    wanted = lyapunov.spectrum(flow(), SIZE, dt=0.1, interval=0.5, seed=3, **LENGTHS)
    taken: list[int] = []
    sure = DeviceFlowPropagator._sure

    def watched(self: DeviceFlowPropagator, *args: Any) -> Any:
        taken.append(1)
        return sure(self, *args)

    monkeypatch.setattr(DeviceFlowPropagator, "_sure", watched)
    monkeypatch.setattr(flow_operator, "CONDITION_GUARD", 1.0)
    carrier = DeviceFlowPropagator(flow(), dt=0.1, device="cpu", seed=3)
    found = lyapunov.spectrum(carrier, SIZE, interval=0.5, seed=3, **LENGTHS)
    assert taken
    np.testing.assert_allclose(found.exponents, wanted.exponents, atol=1e-10)


def test_carrying_and_going_back_are_those_of_the_cpu() -> None:
    ours = DeviceFlowPropagator(flow(), dt=0.1, device="cpu", seed=2)
    theirs = propagator(flow(), dt=0.1, seed=2)
    ours.advance(20)
    theirs.advance(20)
    np.testing.assert_allclose(ours.state()["x"], theirs.state()["x"], atol=1e-12)
    frame = np.asfortranarray(np.random.default_rng(0).standard_normal((SIZE, 3)))
    held = ours.state()
    once = ours.carry(frame.copy(order="F"), 5)
    np.testing.assert_allclose(once, theirs.carry(frame.copy(order="F"), 5), atol=1e-12)
    assert ours.time == pytest.approx(2.5) and ours.finite()
    ours.restore(held)
    assert np.array_equal(ours.carry(frame.copy(order="F"), 5), once)


def test_what_diverges_is_said() -> None:
    carrier = DeviceFlowPropagator(flow(), dt=0.1, device="cpu", x0=np.full(SIZE, np.inf))
    found = lyapunov.spectrum(carrier, 2, interval=0.5, duration=5.0, transient=0.1, warmup=0.1)
    assert found.status is lyapunov.Status.DIVERGED and np.isnan(found.exponents).all()


@pytest.mark.parametrize("wrong", [
    {"gamma": 0.5}, {"phi": "relu"}, {"drive": np.ones(SIZE)}, {"temperature": 0.1},
])
def test_other_flows_are_refused(wrong: dict[str, Any]) -> None:
    other = dynamics.Flow(dynamics.gaussian_couplings(SIZE, 1.5, seed=1), **wrong)
    with pytest.raises(InputError, match="on a device"):
        DeviceFlowPropagator(other, dt=0.1, device="cpu")
    with pytest.raises(InputError, match="step above 0"):
        DeviceFlowPropagator(flow(), dt=0.0, device="cpu")
