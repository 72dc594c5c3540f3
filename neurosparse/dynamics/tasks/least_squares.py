"""Recursive least squares: ridge regression that takes one sample at a time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]


class RecursiveLeastSquares:
    """After samples (r_n, f_n), w = (Σ r rᵀ + α)⁻¹ Σ f r, without ever solving.

    Parameters
    ----------
    size
        Length N of r.
    alpha
        α > 0, the penalty; the first step changes w by about ``f r / (α + |r|²)``.

    Attributes
    ----------
    weights
        w [N].
    inverse
        P = (Σ r rᵀ + α)⁻¹ [N, N].

    Raises
    ------
    InputError
        α is not positive.
    """

    def __init__(self, size: int, alpha: float = 1.0) -> None:
        if not 0.0 < alpha < np.inf:
            raise InputError("RecursiveLeastSquares", found=f"alpha = {alpha}",
                             expected="a finite number > 0")
        self.weights: Array = np.zeros(size)
        self.inverse: Array = np.eye(size, order="F") / alpha

    def update(self, r: Array, f: float) -> float:
        """Take one sample; return the error w·r - f before it."""
        from scipy.linalg.blas import dger

        error = float(self.weights @ r) - f
        along = self.inverse @ r
        factor = 1.0 / (1.0 + float(r @ along))
        # One vector on both sides: P stays symmetric to the last bit, and is changed in place.
        side = math.sqrt(factor) * along
        self.inverse = dger(-1.0, side, side, a=self.inverse, overwrite_a=1)
        self.weights -= factor * error * along
        return error
