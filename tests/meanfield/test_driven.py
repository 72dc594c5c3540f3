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
    # the couplings pass on the sinusoid's variance a²/2 at its own frequency
    direct = amplitude**2 / (2 * (1 + w * w))
    exact = g * g * direct / (1 + w * w - g * g)
    assert state.autocovariance == pytest.approx(exact * np.cos(w * state.lags), abs=1e-7)
    assert state.max_exponent == pytest.approx(-1 + g, abs=1e-8)


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
