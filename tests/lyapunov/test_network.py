"""Propagators of networks: against the plain operator, and one another."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse import kernels
from neurosparse.dynamics import (
    Flow,
    Map,
    StabilityWarning,
    gaussian_couplings,
    low_rank_couplings,
)  # fmt: skip
from neurosparse.errors import InputError
from neurosparse.lyapunov import spectrum
from neurosparse.lyapunov.multistep import exponential_weights, longest_step
from neurosparse.lyapunov.network import METHODS
from neurosparse.lyapunov.propagator import propagator

N = 60


def couplings(kind: str):
    dense = gaussian_couplings(N, 2.0, diagonal=True, seed=1)
    if kind == "sparse":
        return gaussian_couplings(N, 2.0, sparsity=0.8, storage="sparse", seed=1)
    if kind == "low rank":
        left, right = np.random.default_rng(2).standard_normal((2, N, 2))
        return low_rank_couplings(dense, left, right)
    return dense


def plain(flow, x, V, t, h, method):
    """Runge-Kutta on state and frame, written out with the flow's own operator."""
    def slope(y, W, at):
        return flow.drift(y, at), flow.linearise(y, at).matmat(W)

    a, A = slope(x, V, t)
    if method == "euler":
        return x + h * a, V + h * A
    b, B = slope(x + h / 2 * a, V + h / 2 * A, t + h / 2)
    c, C = slope(x + h / 2 * b, V + h / 2 * B, t + h / 2)
    d, D = slope(x + h * c, V + h * C, t + h)
    return x + h / 6 * (a + 2 * b + 2 * c + d), V + h / 6 * (A + 2 * B + 2 * C + D)


@pytest.mark.parametrize("kind", ["dense", "sparse", "low rank"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("method", ["rk4", "euler"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_step_is_the_plain_one(kind, gamma, method, inside):
    flow = Flow(couplings(kind), gamma, drive=lambda t: np.sin(3 * t), drive_inside=inside)
    carrier = propagator(flow, method=method, dt=0.02, seed=3)
    carrier.width = 7  # several chunks, the last one narrower
    x, V = carrier.x.copy(), np.random.default_rng(4).standard_normal((N, 25))
    frame = carrier.carry(np.asfortranarray(V), 5)
    for n in range(5):
        x, V = plain(flow, x, V, 0.02 * n, 0.02, method)
    assert np.abs(frame - V).max() < 1e-12
    assert np.abs(carrier.state()["x"] - x).max() < 1e-12
    assert carrier.time == pytest.approx(0.1)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_a_step_has_the_same_bits_at_every_level(gamma):
    flow = Flow(couplings("dense"), gamma)
    found = []
    for level in kernels.levels():
        with kernels.using(level):
            carrier = propagator(flow, dt=0.05, seed=3)
            frame = np.asfortranarray(np.random.default_rng(4).standard_normal((N, 9)))
            found.append(carrier.carry(frame, 10).copy())
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_the_map_is_its_own_operator():
    network = Map(couplings("dense"), delta=0.3)
    carrier = propagator(network, seed=3)
    x, V = carrier.x.copy(), np.random.default_rng(4).standard_normal((N, 4))
    frame = carrier.carry(np.asfortranarray(V), 6)
    for n in range(6):
        x, V = network.step(x, n), network.linearise(x, n).matmat(V)
    assert np.abs(frame - V).max() < 1e-12
    assert carrier.time == 6.0


def test_weights_of_a_multistep_method():
    # at h = 0 they are Adams and Bashforth's
    assert exponential_weights(4, 0.0) == pytest.approx(np.array([55, -59, 37, -9]) / 24)
    # constant N is integrated exactly: the sum is (1 - e^-h)/h
    for order in (2, 3, 4):
        assert exponential_weights(order, 0.3).sum() == pytest.approx(-np.expm1(-0.3) / 0.3)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_a_multistep_method_has_its_order(order):
    """Halving the step divides the error by 2^order; the start is taken from a fine run."""
    flow = Flow(couplings("dense"))
    rng = np.random.default_rng(4)
    frame0 = np.asfortranarray(rng.standard_normal((N, 3)))

    lead = 0.6
    # history from a fine run: state and frame at lead - j dt
    errors = []
    for dt in (0.05, 0.025):
        carrier = propagator(flow, method=f"exponential-ab{order}", dt=dt, seed=3)
        fine = propagator(flow, method="rk4", dt=0.0025, seed=3)
        frame = frame0.copy(order="F")
        past = []
        steps = round(dt / 0.0025)
        frame = fine.carry(frame, round(lead / 0.0025) - (order - 1) * steps)
        for j in range(order):
            x = fine.state()["x"]
            past.append(np.column_stack([flow.J @ np.tanh(x),
                                         flow.J @ (np.cosh(x)[:, None] ** -2 * frame)]))
            if j < order - 1:
                frame = fine.carry(frame, steps)
        start = {**fine.state(), "time": lead}
        # the newest is computed by the step itself: hand over the older ones, newest first
        older = past[:-1][::-1]
        start.update({f"past_{j}": p for j, p in enumerate([*older, older[-1]])})
        carrier.restore(start)
        got = carrier.carry(frame.copy(order="F"), round(1.0 / dt))
        exact = fine.carry(frame, 400)
        errors.append(np.abs(got - exact).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.6)


def test_a_qr_in_between_changes_nothing():
    """Frames after rescaling span the same space: the history follows the QR."""
    flow = Flow(couplings("dense"))
    frame0 = np.asfortranarray(np.random.default_rng(4).standard_normal((N, 5)))
    one = propagator(flow, method="exponential-ab3", dt=0.05, seed=3)
    whole = one.carry(frame0.copy(order="F"), 20)
    two = propagator(flow, method="exponential-ab3", dt=0.05, seed=3)
    half = two.carry(frame0.copy(order="F"), 10)
    q, r = np.linalg.qr(half)
    half[...] = q
    two.rescale(r)
    assert np.abs(two.carry(half, 10) @ r - whole).max() < 1e-11


@pytest.mark.parametrize("method", ["rk4", "exponential-ab3"])
def test_going_on_from_a_state_gives_the_same_bits(method):
    flow = Flow(couplings("dense"), temperature=0.01 if method == "rk4" else 0.0)
    carrier = propagator(flow, method=method, dt=0.05, seed=3)
    frame = np.asfortranarray(np.random.default_rng(4).standard_normal((N, 5)))
    frame = carrier.carry(frame, 8)
    kept, state = frame.copy(order="F"), carrier.state()
    after = carrier.carry(frame, 8).copy()
    other = propagator(flow, method=method, dt=0.05, seed=99)
    other.restore(state)
    assert np.array_equal(other.carry(kept, 8), after)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_noise_gives_the_law_that_it_should(gamma):
    """N(0, T) of neurons by themselves: a step of 0.2 is off by (0.2)² / 3 of it, not by 0.2."""
    flow = Flow(np.zeros((4000, 4000)), gamma, "linear", temperature=0.5)
    carrier = propagator(flow, dt=0.2, seed=1)
    found = []
    for _ in range(12):
        carrier.advance(20)
        found.append(np.mean(carrier.state()["x"] ** 2))
    assert np.mean(found[2:]) == pytest.approx(0.5 * 0.2 / np.tanh(0.2), rel=0.015)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_the_step_that_is_taken_unasked_resolves_the_fastest_exponents(gamma):
    flow = Flow(gaussian_couplings(N, 0.8, symmetry=1.0, seed=1), gamma, "linear")
    found = spectrum(flow, transient=0.0, warmup=60.0, duration=30.0)
    exact = np.linalg.eigvalsh(flow.jacobian(np.zeros(N)))[::-1]
    assert exact[-1] < -2.2
    np.testing.assert_allclose(found.exponents[-3:], exact[-3:], rtol=2e-3)
    assert found.exponents.sum() == pytest.approx(exact.sum(), rel=1e-3)


@pytest.mark.parametrize("system", [Flow, Map])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_start_knows_nothing_of_couplings_of_the_same_seed(system, seed):
    J = gaussian_couplings(400, 2.0, diagonal=True, seed=seed)
    start = propagator(system(J), seed=seed).x
    assert np.abs(J @ start).max() / np.linalg.norm(J[0]) / np.linalg.norm(start) < 0.3


def test_a_map_asks_its_drive_by_the_number_of_the_step():
    table, asked = np.ones((20, N)), []

    def drive(n):
        asked.append(n)
        return table[n]

    carrier = propagator(Map(couplings("dense"), drive=drive), seed=3)
    carrier.advance(3)
    assert asked[-3:] == [0, 1, 2]


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("mu", [-4.0, 6.0j])
def test_the_stable_step_of_a_multistep_method_is_where_growth_begins(order, mu):
    rate, turn = (1.0 - mu, 0.0) if isinstance(mu, float) else (1.0, mu.imag)
    longest = longest_step(order, rate, turn)
    for share, grows in ((0.97, False), (1.03, True)):
        h = share * longest
        weights, x, past = exponential_weights(order, h), 1.0 + 0.0j, [mu + 0.0j] * order
        for _ in range(3000):
            past = [mu * x, *past[:-1]]
            x = np.exp(-h) * x + h * (weights @ np.array(past))
            if abs(x) > 1e6:
                break
        assert (abs(x) > 1e6) == grows and (grows or abs(x) < 1e-2)


def test_oscillations_bound_the_step():
    """J antisymmetric: -1 ± iω, which Euler damps up to 2/(1 + ω²)."""
    flow = Flow(gaussian_couplings(N, 5.0, symmetry=-1.0, seed=0))
    omega = np.linalg.norm(flow.J, 2)
    assert flow.stable_step("euler") == pytest.approx(2 / (1 + omega**2), rel=1e-6)
    assert flow.extent == pytest.approx((1.0, omega), rel=1e-6)
    for method in METHODS:
        found = spectrum(flow, 1, method=method, transient=40.0, warmup=5.0, duration=20.0)
        assert found.exponents[0] < -0.3, method  # it is -1, and Euler's step as long as may be
    with pytest.warns(StabilityWarning):
        propagator(flow, method="euler", dt=1.01 * flow.stable_step("euler"))


def test_single_precision_stays_close():
    flow = Flow(couplings("dense"))
    frame = np.asfortranarray(np.random.default_rng(4).standard_normal((N, 5)))
    double = propagator(flow, dt=0.05, seed=3).carry(frame.copy(order="F"), 20)
    single = propagator(flow, dt=0.05, seed=3, dtype="float32").carry(frame.copy(order="F"), 20)
    assert single.dtype == np.float64
    assert 0 < np.abs(single - double).max() < 2e-4 * np.abs(double).max()


def test_options_that_do_not_fit_are_refused():
    flow = Flow(couplings("dense"))
    for options in ({"dt": 0.0}, {"dt": np.nan}, {"method": "rk5"}, {"dtype": "float16"},
                    {"x0": np.ones(3)}):
        with pytest.raises(InputError):
            propagator(flow, **options)
    with pytest.raises(InputError, match="gamma"):
        propagator(Flow(couplings("dense"), 0.5), method="exponential-ab3")
    with pytest.warns(StabilityWarning):
        propagator(Flow(couplings("dense"), 1.0), method="euler", dt=0.9)
