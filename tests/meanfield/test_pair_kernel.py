"""The pair kernel against quadrature, and its derivative and integral against Price's theorem."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosparse.dynamics import gain, threshold_power
from neurosparse.errors import InputError
from neurosparse.meanfield import pair_average
from neurosparse.meanfield.pair_kernel import pair_kernel

RHO = np.array([-0.9, -0.2, 0.0, 0.4, 0.9, 0.9999, 1.0])


@pytest.mark.parametrize(("phi", "variance", "mean"), [
    ("tanh", 0.05, 0.0), ("tanh", 5.4, 0.0), ("tanh", 71.0, 0.0), ("tanh", 2.0, 0.7),
    ("erf", 3.0, 0.0), ("sigmoid", 10.0, 0.3), ("relu", 2.0, 0.0), ("relu", 1.0, -0.4),
])
def test_kernel_is_the_pair_average(phi, variance, mean):
    shape = gain(phi)
    kernel = pair_kernel(shape, variance, mean)
    for function, found in ((shape.value, kernel.value(RHO)), (shape.slope, kernel.slope(RHO))):
        exact = pair_average(function, function, variance, variance * RHO, mean=mean,
                             kinks=shape.kinks)
        assert found == pytest.approx(exact, abs=2e-9)


@pytest.mark.parametrize("phi", ["tanh", "relu", threshold_power(2.0, 0.5)])
def test_slope_and_integral_belong_to_the_value(phi):
    kernel = pair_kernel(gain(phi), 1.6)
    rho, h = np.array([-0.5, 0.1, 0.7]), 1e-4
    difference = (kernel.value(rho + h) - kernel.value(rho - h)) / (2 * h * 1.6)
    assert difference == pytest.approx(kernel.slope(rho), rel=1e-6)
    difference = (kernel.integral(rho + h) - kernel.integral(rho - h)) / (2 * h)
    assert difference == pytest.approx(kernel.value(rho), rel=1e-6)
    assert float(kernel.integral(0.0)) == pytest.approx(0.0, abs=1e-13)


def test_own_gain_with_an_unnamed_kink_is_refused():
    corner = gain((lambda x: np.abs(x), lambda x: np.sign(x)))
    with pytest.raises(InputError, match="smooth"):
        pair_kernel(corner, 1.0)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.inf])
def test_variance_must_be_positive(variance):
    with pytest.raises(InputError):
        pair_kernel(gain("tanh"), variance)
