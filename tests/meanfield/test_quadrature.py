"""Gaussian averages against closed forms, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from neurosparse.errors import InputError
from neurosparse.meanfield import average, pair_average


def relu(x):
    return np.maximum(x, 0.0)


@given(st.floats(0.01, 20), st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_moments_of_a_gaussian(variance, mean):
    assert average(lambda x: x, variance, mean) == pytest.approx(mean, abs=1e-12 * (1 + variance))
    assert average(lambda x: x * x, variance, mean) == pytest.approx(variance + mean**2, rel=1e-12)
    fourth = 3 * variance**2 + 6 * variance * mean**2 + mean**4
    assert average(lambda x: x**4, variance, mean) == pytest.approx(fourth, rel=1e-11)


@pytest.mark.parametrize("variance", [0.05, 1.0, 30.0, 900.0])
def test_cosine_of_a_gaussian(variance):
    assert average(np.cos, variance, 0.7) == pytest.approx(
        math.cos(0.7) * math.exp(-variance / 2), abs=1e-12)


def test_variance_zero_is_the_value():
    assert average(np.tanh, 0.0, 0.3) == math.tanh(0.3)


@pytest.mark.parametrize("rho", [-1.0, -0.8, -0.3, 0.0, 0.5, 0.99, 0.99999, 1.0])
def test_erf_pair(rho):  # row 30: Williams' kernel
    v = 2.5
    exact = 2 / math.pi * math.asin(2 * v * rho / (1 + 2 * v))
    assert pair_average(erf, erf, v, v * rho)[()] == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("rho", [-1.0, -0.8, -0.3, 0.0, 0.5, 0.99, 0.99999, 1.0])
def test_relu_pair(rho):
    angle = math.acos(rho)
    exact = 1.7 * (math.sin(angle) + (math.pi - angle) * rho) / (2 * math.pi)
    found = pair_average(relu, relu, 1.7, 1.7 * rho, kinks=(0.0,))[()]
    assert found == pytest.approx(exact, abs=1e-12)


def test_pair_of_different_functions():
    # ⟨x sin y⟩ = cov ⟨cos y⟩
    found = pair_average(lambda x: x, np.sin, 1.3, np.array([-0.4, 0.9]))
    assert found == pytest.approx(np.array([-0.4, 0.9]) * math.exp(-0.65), abs=1e-12)


def test_a_kink_must_be_named():
    with pytest.raises(InputError, match="kinks"):
        average(lambda x: np.sign(x - 0.3), 1.0)


@pytest.mark.parametrize("call", [
    lambda: average(np.tanh, -1.0),
    lambda: average(np.tanh, math.nan),
    lambda: pair_average(np.tanh, np.tanh, 1.0, 1.5),
])
def test_bad_numbers(call):
    with pytest.raises(InputError):
        call()
