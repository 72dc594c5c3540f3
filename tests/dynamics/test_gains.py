"""Gains: derivatives, extreme arguments, scalar against array form, the user's own."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.dynamics import GAINS, Gain, gain, sigmoid, threshold_power
from neurosparse.errors import InputError
from neurosparse.meanfield import two_time

ALL = [*(gain(name) for name in GAINS), threshold_power(1.5, 0.3), sigmoid(0.2)]
IDS = [f"{g.name}{list(g.parameters.values())}" for g in ALL]


@pytest.mark.parametrize("phi", ALL, ids=IDS)
@given(x=st.floats(-4, 4))
@settings(max_examples=60, deadline=None)
def test_derivatives_are_those_of_the_function(phi: Gain, x: float) -> None:
    if any(abs(x - kink) < 1e-2 for kink in phi.kinks):
        return
    h = 1e-5
    at = np.array([x - h, x, x + h])
    value, slope = phi.value(at), phi.slope(at)
    assert phi.curvature is not None
    assert (value[2] - value[0]) / (2 * h) == pytest.approx(slope[1], rel=1e-7, abs=1e-8)
    # p = 1.5 has a third derivative of 1e3 beside its kink
    assert (slope[2] - slope[0]) / (2 * h) == pytest.approx(phi.curvature(at)[1], rel=1e-6,
                                                            abs=1e-8)


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_scalar_and_array_forms_agree(phi: Gain) -> None:
    grid = np.linspace(-30.3, 30.1, 401)
    for scalar, array in zip(phi.scalars, (phi.value, phi.slope, phi.curvature), strict=True):
        assert array is not None
        np.testing.assert_allclose([scalar(x) for x in grid], array(grid), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_steepest_slope_bounds_every_slope(phi: Gain) -> None:
    slope = phi.slope(np.linspace(-8, 8, 16001))
    if math.isfinite(phi.steepest):
        assert slope.max() <= phi.steepest * (1 + 1e-15)
        assert slope.max() >= phi.steepest * (1 - 1e-6)
    else:
        assert slope.max() > 4


def test_tanh_slope_does_not_underflow_where_one_minus_tanh_squared_does() -> None:
    # numerics.md 1.0: gains as 1/cosh²
    x = np.array([20.0, 50.0, 300.0, -300.0])
    np.testing.assert_allclose(gain("tanh").slope(x), 4 * np.exp(-2 * np.abs(x)), rtol=1e-14)
    assert (1 - np.tanh(x) ** 2 == 0).all()


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_extreme_arguments_neither_warn_nor_hide_a_nan(phi: Gain) -> None:
    with np.errstate(all="raise", under="ignore"):
        big = phi.value(np.array([-1e4, 1e4]))
        phi.slope(np.array([-1e4, 1e4]))
    assert np.isfinite(big).all()
    assert np.isnan(phi.value(np.array([np.nan]))).all()


def test_slopes_at_zero() -> None:
    assert gain("tanh").slope_at_zero == 1.0
    assert gain("erf").slope_at_zero == pytest.approx(2 / math.sqrt(math.pi), rel=1e-15)
    assert sigmoid(0.2).slope_at_zero == pytest.approx(0.05, rel=1e-15)
    assert gain("relu").slope_at_zero == 0.0
    assert gain("linear").slope_at_zero == 1.0


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_gains_travel_to_other_processes(phi: Gain) -> None:
    back = pickle.loads(pickle.dumps(phi))
    assert (back.name, back.parameters) == (phi.name, phi.parameters)
    np.testing.assert_array_equal(back.value(np.ones(3)), phi.value(np.ones(3)))


def test_own_numba_functions() -> None:
    @numba.njit
    def f(x):  # type: ignore[no-untyped-def]
        return x / (1 + abs(x)) if x > 0 else x / (1 - x)

    @numba.njit
    def df(x):  # type: ignore[no-untyped-def]
        return 1 / (1 + abs(x)) ** 2

    own = gain((f, df))
    x = np.linspace(-2, 2, 12).reshape(3, 4)
    np.testing.assert_allclose(own.value(x), x / (1 + np.abs(x)), rtol=1e-14)
    assert own.slope(x).shape == (3, 4)
    assert own.curvature is None
    assert own.scalars[0](0.5) == pytest.approx(1 / 3)
    assert own.scalars[2] is None


def test_own_numpy_functions() -> None:
    own = gain((np.sin, np.cos, lambda x: -np.sin(x)))
    assert own.slope_at_zero == 1.0
    assert own.scalars[0](0.3) == pytest.approx(math.sin(0.3))


@pytest.mark.parametrize("curvature", [
    lambda x: 5 * np.ones_like(x),
    lambda x: 2 * np.tanh(x) / np.cosh(x) ** 2,  # the sign
    lambda x: 1 / np.cosh(x) ** 2,  # φ' once more
    lambda x: np.nan * x,
])
def test_a_second_derivative_of_something_else_is_refused(curvature: Any) -> None:
    with pytest.raises(InputError, match="second function"):
        gain((np.tanh, lambda x: 1 / np.cosh(x) ** 2, curvature))


def test_a_second_derivative_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        gain((np.tanh, lambda x: 1 / np.cosh(x) ** 2, np.sum))


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_the_derivatives_of_the_built_in_gains_pass_as_ones_own(phi: Gain) -> None:
    # those with kinks, too
    own = gain((phi.value, phi.slope, phi.curvature))
    assert own.curvature is phi.curvature


def test_a_compiled_second_derivative_is_compared_too() -> None:
    value, slope, curvature = gain("relu").scalars
    assert gain((value, slope, curvature)).curvature is not None
    with pytest.raises(InputError, match="second function"):
        gain((value, slope, value))


@pytest.mark.parametrize(
    ("phi", "says"),
    [("tan", "erf"), (np.tanh, "without derivative"), ((np.tanh,), "derivative"),
     ((np.tanh, np.tanh), "derivative"), (3, "without derivative"),
     ((np.sum, np.sum), "shape")])
def test_refused(phi: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        gain(phi)  # type: ignore[arg-type]


@pytest.mark.parametrize("exponent", [0.5, math.nan, math.inf])
def test_threshold_power_refuses_an_infinite_slope(exponent: float) -> None:
    with pytest.raises(InputError, match="exponent"):
        threshold_power(exponent)
    with pytest.raises(InputError, match="maximum"):
        sigmoid(0.0)


def test_steepest_slope_of_an_own_gain_is_found_away_from_zero() -> None:
    shifted = gain((lambda x: np.tanh(3 * (x - 4)), lambda x: 3 / np.cosh(3 * (x - 4)) ** 2))
    assert shifted.steepest == pytest.approx(3, rel=1e-3)
    # of one that only grows steeper, what it is used for
    cube = gain((lambda x: x**3, lambda x: 3 * x**2))
    assert cube.steepest == pytest.approx(3 * 1.7**2)


def test_an_own_gain_of_a_built_in_name_is_not_that_one() -> None:
    def linear(x: Any) -> Any:
        return np.tanh(x)

    own = gain((linear, lambda x: 1 / np.cosh(x) ** 2))
    assert own.name == "own linear"
    found = two_time(1.5, own, duration=2.0, dt=0.1)
    known = two_time(1.5, "tanh", duration=2.0, dt=0.1)
    assert found.method == known.method == "gaussian"
    np.testing.assert_allclose(found.covariance, known.covariance, rtol=1e-9)
