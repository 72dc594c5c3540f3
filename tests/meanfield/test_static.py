"""Static variance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.meanfield import Constant, average, static_variance, stationary


@pytest.mark.parametrize(("gain", "variance"), [
    (1.05, 0.05283221), (1.25, 0.31559376), (1.5, 0.74768638), (3.0, 5.44632608),
    (10.0, 71.36809158)])
def test_row_34_variance_of_the_flow(gain, variance):
    assert static_variance(gain) == pytest.approx(variance, abs=1e-8 * (1 + variance))


@pytest.mark.parametrize(("gain", "variance"), [
    (1.25, 0.32646408), (1.5, 0.79335404), (3.0, 6.30539148), (5.0, 20.69936684),
    (10.0, 91.70513119)])
def test_row_35_variance_of_the_map(gain, variance):
    assert static_variance(gain, delta=1.0) == pytest.approx(variance, abs=1e-8 * (1 + variance))


@pytest.mark.parametrize(("gain", "variance"), [(0.5, 0.57735027), (0.8, 0.83333333)])
def test_row_22_linear_network_with_noise(gain, variance):
    assert static_variance(gain, "linear", noise=1.0) == pytest.approx(variance, abs=1e-8)
    # doubled intensity, doubled variance
    assert static_variance(gain, "linear", noise=2.0) == pytest.approx(2 * variance, abs=1e-8)


@pytest.mark.parametrize("delta", [None, 0.25, 1.0])
def test_below_onset_nothing_moves(delta):
    assert static_variance(0.9, delta=delta) == 0.0


@pytest.mark.parametrize("delta", [0.1, 0.5, 1.0])
def test_noisy_linear_map(delta):
    # C(ω) = δσ²/(|e^{iω} - b|² - δ²g²), and its mean over ω is a geometric sum
    gain, b = 0.6, 1 - delta
    centre = 1 + b * b - (delta * gain) ** 2
    exact = delta * 0.7 / math.sqrt(centre**2 - 4 * b * b)
    found = static_variance(gain, "linear", delta=delta, noise=0.7)
    assert found == pytest.approx(exact, rel=1e-9)


@pytest.mark.slow
def test_relu_with_noise_is_homogeneous():
    one = static_variance(0.8, "relu", noise=1.0)
    assert static_variance(0.8, "relu", noise=4.0) == pytest.approx(4 * one, rel=1e-9)


def test_constant_input_that_freezes():
    # far below onset the state is a fixed point: Δ = g²⟨φ²⟩ + v²
    drive = Constant(mean=0.5, spread=0.3)
    found = static_variance(0.6, drive=drive)
    expected = 0.36 * average(lambda x: np.tanh(x) ** 2, found, 0.5) + 0.09
    assert found == pytest.approx(expected, rel=1e-11)
    assert stationary(0.6, drive=drive).status == "fixed point"


def test_unbounded_networks_are_refused():
    with pytest.raises(InputError, match="bounded"):
        static_variance(1.6, "relu", delta=1.0, noise=1.0)
    with pytest.raises(InputError, match="bounded"):
        static_variance(1.2, "linear", noise=1.0)


@pytest.mark.parametrize("arguments", [
    {"gain": -1.0}, {"gain": math.nan}, {"gain": 2.0, "noise": -1.0},
    {"gain": 2.0, "delta": 0.0}, {"gain": 2.0, "delta": 1.5}, {"gain": 2.0, "phi": "sine"}])
def test_bad_numbers(arguments):
    with pytest.raises(InputError):
        static_variance(**arguments)
