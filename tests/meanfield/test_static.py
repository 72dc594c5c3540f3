"""Static variance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.meanfield import (
    Constant,
    average,
    critical_gain,
    linear_variance,
    static_variance,
    stationary,
)

# the same gain as "linear", but not known to be: solved by the search
IDENTITY = (lambda x: 1.0 * x, lambda x: np.ones_like(x))


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
    # so that a large variance is none too large
    assert static_variance(0.8, "relu", noise=1e7) == pytest.approx(1e7 * one, rel=1e-9)


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


@pytest.mark.parametrize("phi", ["linear", IDENTITY], ids=["built in", "own"])
@pytest.mark.parametrize("delta", [None, 0.5, 1.0])
@pytest.mark.parametrize("noise", [1e-16, 1e-3, 1.0, 10.0])
def test_a_linear_network_is_refused_alike_from_its_critical_gain_on(phi, delta, noise):
    for gain in (1.0, 1.5):
        for solve in (static_variance, stationary):
            with pytest.raises(InputError, match="bounded"):
                solve(gain, phi, delta=delta, noise=noise)


@pytest.mark.parametrize("noise", [1e-16, 1e-3, 1.0, 1e8])
@pytest.mark.parametrize("gain", [0.0, 0.5, 0.999, 1 - 1e-8])
def test_linear_response_up_to_the_critical_gain(gain, noise):
    exact = noise / (2 * math.sqrt((1 - gain) * (1 + gain)))
    assert static_variance(gain, "linear", noise=noise) == pytest.approx(exact, rel=1e-14)
    if gain < 0.99 and noise < 1e6:
        assert static_variance(gain, IDENTITY, noise=noise) == pytest.approx(exact, rel=1e-12)
        assert linear_variance(gain, noise=noise) == pytest.approx(exact, rel=1e-12)
    assert stationary(0.9, "linear", noise=noise).variance == pytest.approx(
        noise / (2 * math.sqrt(0.19)), rel=1e-14)


@pytest.mark.parametrize("delta", [None, 0.3, 1.0])
def test_linear_closed_form_is_what_the_search_finds(delta):
    settings = {"delta": delta, "noise": 0.7, "drive": Constant(mean=0.4, spread=0.3)}
    searched = static_variance(0.8, IDENTITY, **settings)
    assert static_variance(0.8, "linear", **settings) == pytest.approx(searched, rel=1e-9)
    assert stationary(0.8, "linear", **settings).variance == pytest.approx(searched, rel=1e-9)


def test_a_little_noise_makes_a_little_variance():
    # below the onset tanh is linear in so little
    for noise in (1e-12, 1e-16, 1e-30):
        assert static_variance(0.5, noise=noise) == pytest.approx(noise / math.sqrt(3), rel=1e-10)
        assert static_variance(0.5, delta=1.0, noise=noise) == pytest.approx(noise / 0.75,
                                                                             rel=1e-10)


@pytest.mark.slow
def test_relu_is_refused_alike_from_its_critical_gain_on():
    with pytest.raises(InputError, match="bounded"):
        static_variance(critical_gain("relu"), "relu", noise=1.0)


@pytest.mark.parametrize("arguments", [
    {"gain": -1.0}, {"gain": math.nan}, {"gain": 2.0, "noise": -1.0},
    {"gain": 2.0, "delta": 0.0}, {"gain": 2.0, "delta": 1.5}, {"gain": 2.0, "phi": "sine"}])
def test_bad_numbers(arguments):
    with pytest.raises(InputError):
        static_variance(**arguments)


@pytest.mark.parametrize("gain", [100.0, 900.0])
def test_strong_coupling_is_that_of_the_sign(gain: float) -> None:
    """φ becomes sign(x): ∫ (2/π) arcsin = 1 - 2/π of the energy, so that Δ0 = 2 (1 - 2/π) g²."""
    assert static_variance(gain) / gain**2 == pytest.approx(2 * (1 - 2 / math.pi), rel=3 / gain**2)
    assert static_variance(gain, delta=1.0) / gain**2 == pytest.approx(1, rel=1 / gain)
