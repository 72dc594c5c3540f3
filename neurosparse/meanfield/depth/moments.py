"""Gaussian moments of a gain that the theory of deep networks needs, closed where they can be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.gains import Gain, gain
from neurosparse.meanfield.quadrature import average, pair_average

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

_INDEPENDENT = 1e-10
"""A correlation that changes no average by more than this."""
_TINY = 1e-10
"""Variance that stands for the limit of zero where a ratio of two averages has none of its own."""


@dataclass(frozen=True)
class Moments:
    """Averages over (u, w) jointly Gaussian, both of variance q, with correlation c.

    By quadrature for any gain; :func:`moments` gives closed forms for erf, ReLU and linear.

    Attributes
    ----------
    phi
        The gain φ.
    """

    phi: Gain

    def second(self, variance: float) -> float:
        """⟨φ(u)²⟩."""
        return self._mean(lambda u: self.phi.value(u) ** 2, variance)

    def slope(self, variance: float) -> float:
        """⟨φ'(u)²⟩."""
        return self._mean(lambda u: self.phi.slope(u) ** 2, variance)

    def growth(self, variance: float) -> float:
        """d⟨φ(u)²⟩/dq = ⟨φ φ' u⟩/q, by Stein's lemma, which asks for no second derivative."""
        if variance == 0 and self.second(0.0) == 0:
            return self.slope(0.0)
        q = max(variance, _TINY)
        return self._mean(lambda u: self.phi.value(u) * self.phi.slope(u) * u, q) / q

    def product(self, variance: float, correlation: float) -> float:
        """⟨φ(u) φ(w)⟩."""
        return self._pair(self.phi.value, variance, correlation)

    def slope_product(self, variance: float, correlation: float) -> float:
        """⟨φ'(u) φ'(w)⟩, the derivative of ⟨φ φ⟩ by the covariance."""
        return self._pair(self.phi.slope, variance, correlation)

    def _mean(self, f: Function, variance: float) -> float:
        return average(f, variance, kinks=self.phi.kinks)

    def _pair(self, f: Function, variance: float, correlation: float) -> float:
        if abs(correlation) < _INDEPENDENT or variance == 0:
            # The average factorises; for an odd φ the quadrature would find nothing to refine.
            return self._mean(f, variance) ** 2
        return float(pair_average(f, f, variance, correlation * variance, kinks=self.phi.kinks))


class ErfMoments(Moments):
    """Moments of erf(x) (Williams 1997, arcsine kernel)."""

    def second(self, variance: float) -> float:
        """2/π asin(2q/(1+2q))."""
        return self.product(variance, 1.0)

    def slope(self, variance: float) -> float:
        """4/π / √(1+4q)."""
        return self.slope_product(variance, 1.0)

    def growth(self, variance: float) -> float:
        """4/π / ((1+2q) √(1+4q))."""
        q = variance
        return 4 / math.pi / ((1 + 2 * q) * math.sqrt(1 + 4 * q))

    def product(self, variance: float, correlation: float) -> float:
        """2/π asin(2qc/(1+2q))."""
        if math.isinf(variance):
            return 2 / math.pi * math.asin(correlation)
        return 2 / math.pi * math.asin(2 * variance * correlation / (1 + 2 * variance))

    def slope_product(self, variance: float, correlation: float) -> float:
        """4/π / √((1+2q)² - (2qc)²), written as a product so that large q loses nothing."""
        q, c = variance, correlation
        return 4 / math.pi / math.sqrt((1 + 2 * q * (1 - c)) * (1 + 2 * q * (1 + c)))


class ReluMoments(Moments):
    """Moments of max(x, 0) (Cho and Saul 2009, arc-cosine kernels of order 1 and 0)."""

    def second(self, variance: float) -> float:
        """q/2."""
        return 0.5 * variance

    def slope(self, variance: float) -> float:
        """1/2."""
        return 0.5

    def growth(self, variance: float) -> float:
        """1/2."""
        return 0.5

    def product(self, variance: float, correlation: float) -> float:
        """q/2π [√(1-c²) + c (π - acos c)]."""
        c = correlation
        return variance / (2 * math.pi) * (
            math.sqrt((1 - c) * (1 + c)) + c * (math.pi - math.acos(c)))

    def slope_product(self, variance: float, correlation: float) -> float:
        """(π - acos c)/2π."""
        return (math.pi - math.acos(correlation)) / (2 * math.pi)


class LinearMoments(Moments):
    """Moments of φ(x) = x."""

    def second(self, variance: float) -> float:
        """q."""
        return variance

    def slope(self, variance: float) -> float:
        """1."""
        return 1.0

    def growth(self, variance: float) -> float:
        """1."""
        return 1.0

    def product(self, variance: float, correlation: float) -> float:
        """qc."""
        return variance * correlation

    def slope_product(self, variance: float, correlation: float) -> float:
        """1."""
        return 1.0


_CLOSED: dict[str, type[Moments]] = {
    "erf": ErfMoments, "relu": ReluMoments, "linear": LinearMoments,
}


def moments(phi: str | Gain | tuple[Any, ...], *, closed: bool = True) -> Moments:
    """The moments of a gain; ``closed=False`` takes quadrature where closed forms exist, too.

    Raises
    ------
    InputError
        ``phi`` is no gain.
    """
    found = gain(phi)
    # The user may have given a gain of his own the name of a built-in one.
    built_in = found.name in _CLOSED and gain(found.name) is found
    return _CLOSED[found.name](found) if closed and built_in else Moments(found)
