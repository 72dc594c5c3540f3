"""The stationary state under a sinusoid."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.meanfield import Constant, Sinusoid, stationary


def test_linear_network_under_a_sinusoid():
    g, amplitude, w = 0.6, 1.5, 1.3
    state = stationary(g, "linear", drive=Sinusoid(amplitude, w))
    # |x(ω)|² (1 + ω²) = g² |x(ω)|² + A²/2 on average over neurons: the leak's own share of it is
    # A²/2 (1 + ω²), the rest came through the couplings
    whole = amplitude**2 / 2 / (1 + w * w - g * g)
    assert state.autocovariance == pytest.approx(whole * np.cos(w * state.lags), abs=1e-7)
    assert state.variance == state.autocovariance[0]
    direct = amplitude**2 / 2 / (1 + w * w)
    assert state.driven_autocovariance == pytest.approx(direct * np.cos(w * state.lags), abs=1e-14)
    # the gain is linear: ⟨φφ⟩ is ⟨xx⟩
    assert state.gain_autocovariance == pytest.approx(state.autocovariance, abs=1e-7)
    # and at any lag, also far beyond the window
    lags = np.array([0.0, 0.37, 59.0, 1234.5])
    assert state.at(lags) == pytest.approx(whole * np.cos(w * lags), abs=1e-6)
    assert state.plateau == pytest.approx(0.0, abs=1e-6)
    assert state.max_exponent == pytest.approx(-1 + g, abs=1e-8)


def test_the_sinusoids_part_is_nothing_without_one():
    assert not stationary(2.0).driven_autocovariance.any()
    assert not stationary(2.0, drive=Sinusoid(0.0, 1.0)).driven_autocovariance.any()


def test_variance_under_a_sinusoid_is_that_of_a_network():
    g, drive, n, dt = 1.5, Sinusoid(2.0, 1.0), 600, 0.05
    rng = np.random.default_rng(3)
    couplings = g / math.sqrt(n) * rng.standard_normal((n, n))
    phase, x, squares = 2 * math.pi * rng.random(n), rng.standard_normal(n), []

    def speed(x, t):
        return -x + couplings @ np.tanh(x) + drive.amplitude * np.cos(drive.frequency * t + phase)

    for step in range(1200):
        t = step * dt
        x = x + dt * speed(x + 0.5 * dt * speed(x, t), t + 0.5 * dt)
        if step >= 300:
            squares.append(np.mean(x * x))
    state = stationary(g, drive=drive)
    assert state.driven_autocovariance[0] == pytest.approx(1.0)  # 2²/(2 (1 + 1)), most of it
    assert np.mean(squares) == pytest.approx(state.variance, rel=0.04)


def test_noise_on_a_critical_linear_network_is_refused_with_a_sinusoid_too():
    with pytest.raises(InputError, match="bounded"):
        stationary(1.0, "linear", noise=1.0, drive=Sinusoid(1.0, 1.0))


def test_vanishing_amplitude_is_no_input():
    plain = stationary(2.0, noise=1.0)
    driven = stationary(2.0, noise=1.0, drive=Sinusoid(1e-5, 1.0))
    assert driven.variance == pytest.approx(plain.variance, abs=1e-6)
    assert driven.max_exponent == pytest.approx(plain.max_exponent, abs=1e-6)
    assert stationary(2.0, drive=Sinusoid(0.0, 1.0)).status == "chaotic"


def test_a_strong_sinusoid_ends_the_chaos():
    values = [stationary(1.5, drive=Sinusoid(a, 1.0)).max_exponent for a in (0.3, 1.0, 2.0)]
    assert values[0] > values[1] > values[2]
    assert values[0] > 0 > values[2]


def test_maps_and_kinks_are_refused():
    with pytest.raises(InputError, match="continuous"):
        stationary(2.0, delta=0.5, drive=Sinusoid(1.0, 1.0))
    with pytest.raises(InputError, match="smooth"):
        stationary(0.5, "relu", drive=Sinusoid(1.0, 1.0))


@pytest.mark.parametrize("make", [
    lambda: Sinusoid(-1.0, 1.0), lambda: Sinusoid(1.0, 0.0), lambda: Constant(spread=-1.0),
    lambda: Constant(mean=math.nan)])
def test_bad_inputs(make):
    with pytest.raises(InputError):
        make()
