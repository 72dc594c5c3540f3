"""Stationary autocovariance and largest exponent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.meanfield import (
    Constant,
    check_covariance,
    max_exponent,
    static_variance,
    stationary,
)


@pytest.mark.parametrize(("gain", "exponent", "within"), [
    (1.05, 0.001062, 1e-6), (1.1, 0.003712, 1e-6), (1.5, 0.046746, 1e-6), (2.0, 0.112458, 1e-6),
    (3.0, 0.235461, 1e-6), (10.0, 0.77344, 2e-5)])
def test_row_36_exponent_of_the_flow(gain, exponent, within):
    assert max_exponent(gain) == pytest.approx(exponent, abs=within)


@pytest.mark.parametrize(("gain", "exponent"), [
    (1.25, 0.02353465), (2.0, 0.15472423), (3.0, 0.31024932), (10.0, 0.85643521)])
def test_row_37_exponent_of_the_map(gain, exponent):
    assert max_exponent(gain, delta=1.0) == pytest.approx(exponent, abs=3e-8)


def test_row_37_at_strong_coupling_by_adaptive_quadrature():
    # The table's 1.19387211 comes from a trapezoid step of 0.04, too coarse at a spread of 19.6;
    # scipy.integrate.quad gives 1.1924126391
    assert max_exponent(20.0, delta=1.0) == pytest.approx(1.1924126391, abs=1e-8)


@pytest.mark.parametrize(("delta", "exponent"), [(0.25, 0.22540146), (0.5, 0.21612370)])
def test_row_38_exponent_between(delta, exponent):
    assert max_exponent(3.0, delta=delta) == pytest.approx(exponent, abs=2e-8)


@pytest.mark.parametrize(("gain", "ratio"), [
    (1.02, 0.466), (1.05, 0.425), (1.1, 0.371), (1.25, 0.271), (1.5, 0.187)])
def test_row_39_near_onset(gain, ratio):
    assert max_exponent(gain) / (gain - 1) ** 2 == pytest.approx(ratio, abs=6e-4)


@pytest.mark.parametrize("gain", [1.05, 1.5, 3.0])
def test_row_40_zero_mode(gain):
    assert abs(stationary(gain).zero_mode) < 1e-10


def test_lag_equation_is_obeyed():
    state = stationary(2.0, window=60.0, lag_step=0.01)
    c, h = state.autocovariance, 0.01
    # a sixth-order second derivative
    weights = np.array([1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90])
    second = np.convolve(c, weights, mode="valid") / h**2
    error = second - (c - 4.0 * state.gain_autocovariance)[3:-3]
    # 1e-8 of the solution; the difference itself costs 1e-11/h²
    assert np.abs(error).max() < 3e-7
    assert c[0] == state.variance == pytest.approx(static_variance(2.0), rel=1e-14)


def test_map_goes_to_flow_with_its_step():
    flow = max_exponent(2.0)
    gaps = [max_exponent(2.0, delta=d) - flow for d in (0.05, 0.1)]
    assert gaps[1] / gaps[0] == pytest.approx(2.0, abs=0.3)  # first order in δ


def test_noisy_linear_flow_is_an_exponential():
    state = stationary(0.8, "linear", noise=1.0)
    assert state.at([0.0, 1.0, 5.0]) == pytest.approx(
        np.exp(-0.6 * np.array([0.0, 1.0, 5.0])) / 1.2, abs=1e-10)
    assert state.max_exponent == pytest.approx(-0.2, abs=1e-10)
    assert state.status == "fluctuating"


@pytest.mark.parametrize("delta", [None, 0.3, 1.0])
def test_rest_state(delta):
    state = stationary(0.7, delta=delta)
    exact = -0.3 if delta is None else math.log(1 - delta + 0.7 * delta) / delta
    assert state.status == "rest"
    assert state.max_exponent == pytest.approx(exact, abs=1e-12)


def test_frozen_state_exponent():
    state = stationary(0.9, drive=Constant(spread=0.5))
    slope = state.slope_autocovariance[0]
    assert state.status == "fixed point"
    assert state.max_exponent == pytest.approx(-1 + 0.9 * math.sqrt(slope), abs=1e-12)


def test_sigmoid_keeps_a_frozen_part():
    state = stationary(12.0, "sigmoid")
    assert 0.9 * state.variance < state.plateau < state.variance
    assert state.max_exponent > 0
    assert abs(state.zero_mode) < 1e-9
    force = 144 * state.gain_autocovariance[-1]
    assert state.autocovariance[-1] == pytest.approx(force, rel=1e-8)


def test_input_calms_the_chaos():
    values = [max_exponent(3.0, drive=Constant(spread=s)) for s in (0.0, 0.5, 1.0)]
    assert values[0] > values[1] > values[2]


def test_short_window_is_refused():
    with pytest.raises(InputError, match="not a covariance"):
        stationary(1.25, window=3.0)
    with pytest.raises(InputError, match="not a covariance"):
        stationary(1.25, delta=0.5, window=3.0)
    assert stationary(1.25, window=200.0).lags[-1] == pytest.approx(200.0)


def test_a_negative_spectrum_is_no_covariance():
    with pytest.raises(InputError):
        check_covariance(np.where(np.arange(40) < 10, 1.0, 0.0), "test")
    exponential = np.exp(-0.3 * np.arange(80))
    assert check_covariance(exponential, "test") is exponential


def test_response_of_the_stationary_state():
    flow, step = stationary(1.5), stationary(1.5, delta=0.1)
    assert flow.response([-1.0, 0.5]) == pytest.approx([0.0, math.exp(-0.5)])
    times = 0.1 * np.arange(5)
    assert step.response(times) == pytest.approx([0.0, 0.1, 0.09, 0.081, 0.0729])


def test_lags_of_a_map_are_its_steps():
    state = stationary(2.0, delta=0.5)
    assert state.at([0.0, 0.5]) == pytest.approx(state.autocovariance[:2])
    with pytest.raises(InputError):
        state.at(0.3)


@pytest.mark.parametrize("arguments", [
    {"window": -1.0}, {"lag_step": 0.0}, {"window": 1.0, "lag_step": 2.0}, {"tolerance": 0.0},
    {"delta": 0.5, "lag_step": 0.1}, {"noise": math.inf}])
def test_bad_numbers(arguments):
    with pytest.raises(InputError):
        stationary(2.0, **arguments)
