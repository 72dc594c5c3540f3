"""The formulas of the built-in gains: one vectorised and one scalar form of each.

The scalar forms are plain Python in the subset that numba compiles; nothing is compiled here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)


def tanh_slope(x: Array) -> Array:
    """1 / cosh(x)², by exp(-2|x|): neither 1 - tanh² (0 beyond 19) nor an overflow of cosh."""
    small = np.exp(-2.0 * np.abs(x))
    return 4.0 * small / (1.0 + small) ** 2


def tanh_curvature(x: Array) -> Array:
    """-2 tanh(x) / cosh(x)²."""
    return -2.0 * np.tanh(x) * tanh_slope(x)


def tanh_scalar(x: float) -> float:
    """Hyperbolic tangent."""
    return math.tanh(x)


def tanh_slope_scalar(x: float) -> float:
    """1 / cosh(x)² without overflow."""
    small = math.exp(-2.0 * abs(x))
    return 4.0 * small / (1.0 + small) ** 2


def tanh_curvature_scalar(x: float) -> float:
    """-2 tanh(x) / cosh(x)²."""
    small = math.exp(-2.0 * abs(x))
    return -2.0 * math.tanh(x) * 4.0 * small / (1.0 + small) ** 2


def erf_value(x: Array) -> Array:
    """Error function; SciPy is imported at first use."""
    from scipy.special import erf

    return np.asarray(erf(x), dtype=np.float64)


def erf_slope(x: Array) -> Array:
    """2/√π exp(-x²)."""
    return TWO_OVER_ROOT_PI * np.exp(-x * x)


def erf_curvature(x: Array) -> Array:
    """-4x/√π exp(-x²)."""
    return -2.0 * x * erf_slope(x)


def erf_scalar(x: float) -> float:
    """Error function."""
    return math.erf(x)


def erf_slope_scalar(x: float) -> float:
    """2/√π exp(-x²)."""
    return 2.0 / math.sqrt(math.pi) * math.exp(-x * x)


def erf_curvature_scalar(x: float) -> float:
    """-4x/√π exp(-x²)."""
    return -4.0 * x / math.sqrt(math.pi) * math.exp(-x * x)


def linear_value(x: Array) -> Array:
    """Identity, as a new array."""
    return np.array(x, dtype=np.float64)


def one(x: Array) -> Array:
    """1 everywhere."""
    return np.ones_like(x, dtype=np.float64)


def zero(x: Array) -> Array:
    """0 everywhere."""
    return np.zeros_like(x, dtype=np.float64)


def identity_scalar(x: float) -> float:
    """Identity."""
    return x


def one_scalar(x: float) -> float:
    """1 everywhere; 0 * x carries a NaN on."""
    return 1.0 + 0.0 * x


def zero_scalar(x: float) -> float:
    """0 everywhere; 0 * x carries a NaN on."""
    return 0.0 * x


def relu_value(x: Array) -> Array:
    """max(x, 0); NumPy's maximum keeps NaN."""
    return np.maximum(x, 0.0)


def relu_slope(x: Array) -> Array:
    """1 above zero, 0 at and below it."""
    return np.asarray(np.heaviside(x, 0.0), dtype=np.float64)


def relu_scalar(x: float) -> float:
    """max(x, 0)."""
    return 0.0 if x <= 0.0 else x


def relu_slope_scalar(x: float) -> float:
    """1 above zero, 0 at and below it."""
    return 0.0 if x <= 0.0 else 1.0
