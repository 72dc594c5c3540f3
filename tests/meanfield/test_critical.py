"""Critical lines and linear response."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosparse.dynamics import Gain, threshold_power
from neurosparse.errors import InputError
from neurosparse.meanfield import (
    critical_gain,
    critical_noise,
    linear_response,
    linear_variance,
    local_noise,
    max_exponent,
    onset_is_continuous,
    spectrum_density,
    stationary,
)


def test_row_24_onset_at_the_rest_state():
    assert critical_gain() == pytest.approx(1.0, abs=1e-14)
    assert critical_gain("erf") == pytest.approx(math.sqrt(math.pi) / 2, abs=1e-14)
    assert critical_gain(symmetry=0.5) == pytest.approx(1 / 1.5, abs=1e-14)
    assert critical_gain("relu") == pytest.approx(math.sqrt(2), abs=1e-12)
    assert critical_gain(threshold_power(2.0, 0.5)) == math.inf


@pytest.mark.parametrize("exponent", [1.00001, 1.1, 1.5, 2.0, 3.0])
def test_no_slope_at_rest_no_critical_gain(exponent):
    phi = threshold_power(exponent)
    assert critical_gain(phi) == math.inf
    # nothing is fed back to a deviation however small: the leak's own exponent
    assert max_exponent(0.5, phi) == -1.0
    assert max_exponent(0.5, phi, delta=0.5) == pytest.approx(2 * math.log(0.5), rel=1e-14)
    assert spectrum_density(0.5, phi).share_below([-1.01, -1.0]) == pytest.approx([0.0, 1.0])


def test_a_straight_slope_on_one_side_of_rest_has_one():
    assert critical_gain(threshold_power(1.0)) == pytest.approx(math.sqrt(2), abs=1e-12)
    leaky = Gain("leaky", lambda x: np.where(x > 0, x, 0.5 * x),
                 lambda x: np.where(x > 0, 1.0, 0.5), kinks=(0.0,))
    # over both sides (1 + 1/4)/2
    assert critical_gain(leaky) == pytest.approx(1 / math.sqrt(0.625), abs=1e-12)


def test_row_24_kind_of_onset():
    assert onset_is_continuous("tanh") and onset_is_continuous("erf")
    steep = (lambda x: np.tanh(x) + 0.5 * np.tanh(x) ** 3,
             lambda x: (1 + 1.5 * np.tanh(x) ** 2) / np.cosh(x) ** 2)
    assert not onset_is_continuous(steep)  # φ'''(0) = -2 + 3 > 0


def test_frozen_state_of_a_sigmoid_loses_stability():
    edge = critical_gain("sigmoid")
    below, above = stationary(0.98 * edge, "sigmoid"), stationary(1.02 * edge, "sigmoid")
    assert (below.status, above.status) == ("fixed point", "chaotic")
    assert below.max_exponent < 0 < above.max_exponent


@pytest.mark.parametrize(("gain", "chaos", "local"), [
    (1.25, 0.069719, 0.204561), (1.5, 0.276159, 1.003068), (3.0, 4.330483, 38.492928)])
def test_row_25_noise(gain, chaos, local):
    assert critical_noise(gain) == pytest.approx(chaos, abs=1e-6)
    assert local_noise(gain) == pytest.approx(local, abs=1e-6)
    # the criterion on the variance and the operator's ground state know nothing of each other
    assert max_exponent(gain, noise=critical_noise(gain)) == pytest.approx(0.0, abs=1e-9)
    assert critical_gain(noise=critical_noise(gain)) == pytest.approx(gain, abs=1e-9)


def test_row_21_linear_response():
    found = linear_response([1.0, 2.0, 4.0], 0.5, symmetry=0.5)
    assert found == pytest.approx([0.391356, 0.172109, 0.043863], abs=1e-6)
    assert linear_response(1.0, 0.5, symmetry=-0.5) == pytest.approx(0.345361, abs=1e-6)
    assert linear_response([-1.0, 0.0, 1.0], 0.5) == pytest.approx([0.0, 1.0, math.exp(-1)])


def test_linear_response_solves_its_equation():
    # R' = -R + g²η ∫ R(t-s) R(s) ds
    t = np.linspace(0, 6, 6001)
    r = linear_response(t, 0.8, symmetry=0.3)
    memory = np.array([np.trapezoid(r[: n + 1] * r[n::-1], t[: n + 1]) for n in (1000, 3000)])
    change = np.gradient(r, t)[[1000, 3000]]
    assert change == pytest.approx(-r[[1000, 3000]] + 0.64 * 0.3 * memory, abs=1e-6)


def test_row_23_linear_variance():
    assert linear_variance(0.5, symmetry=0.5) == pytest.approx(0.65085186, abs=1e-8)
    assert linear_variance(0.8, noise=3.0) == pytest.approx(3 / 1.2, abs=1e-10)


@pytest.mark.parametrize("call", [
    lambda: critical_gain("relu", symmetry=0.5),
    lambda: critical_gain(symmetry=-1.0),
    lambda: critical_noise(2.0, "relu"),
    lambda: critical_gain("threshold-power", noise=1.0),
    lambda: critical_gain((lambda x: np.tanh(x) ** 3,
                           lambda x: 3 * np.tanh(x) ** 2 / np.cosh(x) ** 2), noise=1.0),
    lambda: spectrum_density(0.5, "threshold-power", delta=1.0),
    lambda: linear_variance(1.0, symmetry=0.5),
    lambda: linear_response(1.0, 0.5, symmetry=2.0),
    lambda: onset_is_continuous("relu"),
])
def test_refused(call):
    with pytest.raises(InputError):
        call()
