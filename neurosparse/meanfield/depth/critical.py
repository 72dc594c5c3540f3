"""The line between order and chaos of plain deep networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.dynamics.gains import Gain
from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array
from neurosparse.meanfield.depth.fixed_point import root
from neurosparse.meanfield.depth.moments import Moments, moments

_LARGEST = 1e6


@dataclass(frozen=True)
class CriticalLine:
    """Points with χ_1 = 1.

    Attributes
    ----------
    bias_variance, weight_variance, variance
        σ_b², σ_w² and q*, arrays of equal shape.
    """

    bias_variance: NDArray[np.float64]
    weight_variance: NDArray[np.float64]
    variance: NDArray[np.float64]


def critical_line(bias_variance: ArrayLike,
                  phi: str | Gain | tuple[Any, ...] = "tanh") -> CriticalLine:
    """σ_w² and q* at which χ_1 = 1, for each σ_b² (Schoenholz et al., arXiv:1611.01232).

    On the line both are functions of q*: σ_w² = 1/⟨φ'²⟩ and σ_b² = q* - σ_w² ⟨φ²⟩, so that one
    root in one variable is all there is to find. For ReLU the line is the one point (2, 0), where
    every q* is a fixed point; it is given as NaN.

    Parameters
    ----------
    bias_variance
        σ_b² >= 0, any shape.
    phi
        The gain.

    Raises
    ------
    InputError
        A negative or non-finite σ_b², or one for which the gain has no critical σ_w².
    """
    bias = array("critical_line", "bias_variance", bias_variance)
    if not (np.all(np.isfinite(bias)) and np.all(bias >= 0)):
        raise InputError("critical_line", found="a bias variance that is negative or not finite",
                         expected="finite numbers >= 0")
    means = moments(phi)
    points = [_point(float(value), means) for value in bias.reshape(-1)]
    weight, variance = np.array(points, dtype=np.float64).reshape(*bias.shape, 2).transpose(
        bias.ndim, *range(bias.ndim))
    return CriticalLine(bias, weight, variance)


def bias_of(variance: float, means: Moments) -> float:
    """σ_b² on the critical line at q*."""
    return variance - means.second(variance) / means.slope(variance)


def _point(bias: float, means: Moments) -> tuple[float, float]:
    if bias == 0:
        scale_free = means.phi.name in ("relu", "linear")
        return 1 / means.slope(0.0 if not scale_free else 1.0), math.nan if scale_free else 0.0
    low, high = 0.0, bias
    # σ_b² < q* everywhere, so the search begins at q* = σ_b² and doubles.
    while bias_of(high, means) < bias:
        low, high = high, 2 * high
        if high > _LARGEST:
            raise InputError("critical_line", found=f"bias variance {bias!r} and gain "
                             f"{means.phi.name!r}", expected="a gain with a critical line there",
                             mend="A gain without scale, like ReLU, is critical at zero bias only.")
    q = high if low == 0.0 else root(lambda q: bias_of(q, means) - bias, low, high)
    return 1 / means.slope(q), q
