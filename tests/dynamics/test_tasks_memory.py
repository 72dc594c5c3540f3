"""Memory and prediction: perfect lines, white noise, and what no network can do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from neurosparse.dynamics import METHODS, Flow, Map, gaussian_couplings, simulate
from neurosparse.dynamics.tasks import delay_line, memory_curve, prediction_curve
from neurosparse.dynamics.tasks.signals import Held, Input
from neurosparse.errors import InputError


@pytest.mark.parametrize("length", [1, 4, 9])
def test_a_delay_line_remembers_its_length_and_no_more(length: int) -> None:
    line, entering = delay_line(length)
    curve = memory_curve(line, delays=range(1, length + 6), signal="noise", weights=entering,
                         steps=4000, transient=20)
    np.testing.assert_allclose(curve.scores[:length], 1.0, atol=1e-9)  # papers.md 1(f)10
    assert np.abs(curve.scores[length:]).max() < 0.03
    assert curve.capacity == pytest.approx(length, abs=0.05)


def test_capacity_of_noise_is_at_most_the_size() -> None:
    J = gaussian_couplings(6, 0.9, seed=1)
    curve = memory_curve(Map(J, 1.0, "linear"), delays=range(1, 41), signal="noise",
                         weights="random", steps=6000)
    assert 5.0 < curve.capacity < 6.3  # generic linear maps reach N (Jaeger 2001)
    assert (curve.train_scores <= 1.0 + 1e-12).all()


def test_white_noise_cannot_be_predicted() -> None:
    """A score above zero here would be a leak of the future into the fit."""
    J = gaussian_couplings(60, 1.5, seed=2)
    curve = prediction_curve(Flow(J), signal="noise", steps=3000, dt=0.05, delays=range(1, 8))
    assert np.abs(curve.scores).max() < 0.03
    # the same network does remember
    back = memory_curve(Flow(J), signal="noise", steps=3000, dt=0.05, delays=range(1, 4))
    assert (back.scores > 0.1).all() and (np.diff(back.scores) < 0).all()


@pytest.mark.parametrize("method", ["rk4", "euler", "heun"])
def test_the_next_number_is_not_in_the_state(method: str) -> None:
    """A stage at the end of a step would read it, and a linear readout finds it there."""
    flow = Flow(0.8 * gaussian_couplings(100, 1.0, seed=0), phi="linear")
    found = prediction_curve(flow, signal="noise", weights="random", delays=[0, 1], dt=0.5,
                             steps=4000, ridge=1e-12, method=method)
    # N / T of the fitted times is what a fit of noise loses
    assert (np.abs(found.scores) < 4 * found.stderr + 100 / 2667).all()


def held_run(method: str, values: np.ndarray, dt: float, temperature: float = 0.0,
             gamma: float = 0.7, **options: Any) -> np.ndarray:
    """States of a small linear network under values that are held for 0.2 each."""
    flow = Flow(gaussian_couplings(6, 0.8, seed=6), gamma, "linear", temperature=temperature,
                drive=Input(np.linspace(-1.0, 1.0, 6), Held(values, 0.2)), drive_inside=True)
    return np.asarray(simulate(flow, np.ones(6), duration=0.2 * len(values), dt=dt, method=method,
                               record_every=0.2, energy=False, **options).states)


@pytest.mark.parametrize(("method", "temperature"), [*((m, 0.0) for m in METHODS), ("heun", 0.1)])
def test_no_method_sees_over_a_jump(method: str, temperature: float) -> None:
    values = np.random.default_rng(1).uniform(-1, 1, 8)
    other = np.where(np.arange(8) < 5, values, -values)
    first, second = (held_run(method, v, 0.1, temperature) for v in (values, other))
    np.testing.assert_array_equal(first[:6], second[:6])
    assert np.abs(first[6] - second[6]).max() > 1e-3


def exact_held(values: np.ndarray, gamma: float) -> np.ndarray:
    """x' = M x + c s_n in closed form, interval by interval."""
    J, w = gaussian_couplings(6, 0.8, seed=6), np.linspace(-1.0, 1.0, 6)
    A = np.eye(6) - gamma * J.T
    M, c = A @ (J - np.eye(6)), A @ w
    keep, states = expm(0.2 * M), [np.ones(6)]
    for value in values:
        states.append(keep @ states[-1] + np.linalg.solve(M, (keep - np.eye(6)) @ c) * value)
    return np.array(states)


def test_held_values_keep_the_order_of_a_method() -> None:
    values = np.random.default_rng(2).uniform(-1, 1, 10)
    exact = exact_held(values, 0.7)
    for method, order in (("euler", 1), ("heun", 2), ("rk4", 4)):
        coarse, fine = (np.abs(held_run(method, values, dt) - exact).max() for dt in (0.1, 0.05))
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.3), method
    for method in ("adaptive", "rk45", "stiff", "bdf", "radau"):
        error = np.abs(held_run(method, values, 0.2, tolerance=1e-10) - exact).max()
        assert error < 1e-7, method


def test_smooth_signals_are_read_at_every_stage() -> None:
    w = np.linspace(-1.0, 1.0, 6)
    ends = [simulate(Flow(gaussian_couplings(6, 0.8, seed=6), drive=drive), np.ones(6), dt=0.1,
                     duration=2.0).final
            for drive in (Input(w, lambda t: math.sin(9 * t)), lambda t: w * math.sin(9 * t))]
    np.testing.assert_array_equal(ends[0], ends[1])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_a_sine_is_predicted_from_its_phase(gamma: float) -> None:
    """A driven network below the transition holds s and its quadrature: every delay is linear."""
    J = gaussian_couplings(40, 0.5, seed=3)
    flow = Flow(J, gamma, "linear")
    ahead = prediction_curve(flow, signal="sine", steps=1500, transient=3000, delays=(0, 1, 5, 25))
    back = memory_curve(flow, steps=1500, transient=3000, delays=(1, 5, 25))
    np.testing.assert_allclose(ahead.scores, 1.0, atol=1e-5)
    np.testing.assert_allclose(back.scores, 1.0, atol=1e-5)


def test_a_silent_network_knows_nothing() -> None:
    flow = Flow(np.zeros((5, 5)))
    curve = memory_curve(flow, weights=np.zeros(5), x0=np.zeros(5))
    np.testing.assert_allclose(curve.scores, 0.0, atol=1e-9)  # papers.md 1(f)10


def test_the_whole_does_not_hang_on_ulps_of_time() -> None:
    """A held array is read at its own steps, whatever n dt rounds to."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, 400)
    flow = Flow(np.zeros((1, 1)), phi="linear")
    dt = 0.1
    curve = memory_curve(flow, signal=values, steps=400, transient=0, dt=dt, method="euler",
                         delays=(1,), x0=np.zeros(1), weights=np.ones(1), ridge=0.0)
    x = np.zeros(400)
    for n in range(399):
        x[n + 1] = (1 - dt) * x[n] + dt * values[n]
    past, state = values[:-1], x[1:]
    split = math.floor(2 / 3 * 399)
    slope, offset = np.polyfit(state[:split], past[:split], 1)
    rest = past[split:]
    error = ((slope * state[split:] + offset - rest) ** 2).mean()
    expected = 1 - error / ((rest - past[:split].mean()) ** 2).mean()
    assert curve.scores[0] == pytest.approx(expected, abs=1e-9)


def test_inside_or_outside_the_energy_is_a_choice() -> None:
    J = gaussian_couplings(20, 1.5, seed=4)
    first, second, third = (
        memory_curve(Flow(J, gamma, drive_inside=inside), signal="noise", steps=300, delays=(1, 5))
        for gamma, inside in ((1.0, False), (1.0, True), (0.0, True))
    )
    assert np.abs(first.scores - second.scores).max() > 1e-4
    vanilla = memory_curve(Flow(J), signal="noise", steps=300, delays=(1, 5))
    np.testing.assert_array_equal(third.scores, vanilla.scores)


def test_repeats_to_the_bit_and_says_when_it_diverged() -> None:
    flow = Flow(gaussian_couplings(15, 1.2, seed=5))
    first, second = (memory_curve(flow, steps=200, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.scores, second.scores)
    wild = memory_curve(Flow(3.0 * np.eye(4), phi="linear"), steps=3000, dt=0.05)
    assert wild.status == "diverged" and np.isnan(wild.scores).all()


@pytest.mark.parametrize(("arguments", "named"), [
    ({"delays": ()}, "delays"), ({"delays": (-1,)}, "delays"), ({"delays": (0.5,)}, "delays"),
    ({"delays": (2000,)}, "2000"), ({"steps": 3}, "steps = 3"), ({"train": 1.0}, "train = 1"),
    ({"signal": "tune"}, "tune"), ({"signal": np.zeros(7)}, "shape"), ({"weights": "some"}, "some"),
    ({"weights": np.ones(3)}, "weights"), ({"observe": "spikes"}, "spikes"),
    ({"period": 0.0}, "period"), ({"dt": -1.0}, "dt"), ({"transient": -1}, "transient"),
    ({"seed": -1}, "seed -1"),
])
def test_bad_input_is_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        memory_curve(Flow(np.zeros((4, 4))), **arguments)


def test_a_drive_of_its_own_is_refused() -> None:
    with pytest.raises(InputError, match="has a drive"):
        memory_curve(Flow(np.zeros((4, 4)), drive=1.0))
    with pytest.raises(InputError, match="length = 0"):
        delay_line(0)
