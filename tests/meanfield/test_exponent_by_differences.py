"""The largest exponent against finite differences of its Schrödinger operator, extrapolated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from neurosparse import meanfield


# Rows 36's 0.77344 and 1.19072 at g = 10 and 20 are 1e-5 and 2e-4 too large.
@pytest.mark.parametrize("g", [3.0, *(pytest.param(g, marks=pytest.mark.slow)
                                      for g in (10.0, 20.0))])
def test_largest_exponent_is_the_extrapolated_ground_state(g):
    exponents = []
    for step in (0.005, 0.0025):
        found = meanfield.stationary(g, lag_step=step, window=40.0)
        depth = 2.0 / step**2 - g * g * found.slope_autocovariance
        beside = np.full(len(depth) - 1, -1.0 / step**2)
        beside[0] *= np.sqrt(2.0)  # even states: the first lag stands for both sides
        ground = eigh_tridiagonal(depth, beside, select="i", select_range=(0, 0))[0][0]
        exponents.append(-1.0 + np.sqrt(-ground))
    extrapolated = (4.0 * exponents[1] - exponents[0]) / 3.0
    assert found.max_exponent == pytest.approx(extrapolated, abs=2e-9)
