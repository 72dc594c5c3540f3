"""The correlation of a gain at two times as a function of the correlation of its input.

With x and y jointly Gaussian of variance Δ0 and correlation ρ, C(ρ) = ⟨φ(x) φ(y)⟩. Every
stationary solver needs C at hundreds of ρ for one Δ0. For a smooth gain Mehler's formula gives it
by one Hermite transform, C(ρ) = Σ c_n² ρⁿ with c_n = ⟨φ(μ + √Δ0 z) h_n(z)⟩ and h_n orthonormal;
derivative and integral follow term by term, without loss. For a gain with kinks the coefficients
fall too slowly; C is then interpolated by Chebyshev polynomials in the angle θ = acos ρ, in which
it is smooth
(ReLU: sin θ + (π - θ) cos θ).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.dynamics.gains import Function, Gain
from neurosparse.errors import InputError
from neurosparse.meanfield.quadrature import pair_average

Array = NDArray[np.float64]

_CHEBYSHEV = np.polynomial.chebyshev.Chebyshev
_NODES = 56

_TERMS = (320, 1280, 2560, 5120, 10240, 20480, 40960, 81920)
_SMALL = 1e-11  # of the sum, for the last coefficients squared
_REACH = 13.5  # exp(-z²/4) is below 2e-20


class PairKernel(ABC):
    """C(ρ) = ⟨φ(x) φ(y)⟩ at one variance, with its slope and its integral.

    Attributes
    ----------
    variance
        Δ0, of x and of y.
    """

    variance: float

    @abstractmethod
    def value(self, rho: ArrayLike) -> Array:
        """C(ρ), of the shape of ``rho`` in [-1, 1]."""

    @abstractmethod
    def slope(self, rho: ArrayLike) -> Array:
        """⟨φ'(x) φ'(y)⟩ = dC/dΔ with Δ = Δ0 ρ (Price's theorem)."""

    @abstractmethod
    def integral(self, rho: ArrayLike) -> Array:
        """∫ from 0 to ρ of C."""


class MehlerKernel(PairKernel):
    """The kernel of a smooth gain, from its Hermite coefficients."""

    def __init__(self, variance: float, coefficients: Array) -> None:
        self.variance = variance
        squares = coefficients**2
        degree = np.nonzero(squares > 1e-19 * squares.sum())[0]
        self._degree = degree.astype(np.float64)
        self._squares = squares[degree]

    def value(self, rho: ArrayLike) -> Array:
        """C(ρ) by Mehler's formula."""
        return self._sum(rho, self._squares, self._degree)

    def slope(self, rho: ArrayLike) -> Array:
        """⟨φ'φ'⟩, the derivative term by term."""
        keep = self._degree > 0
        degree = self._degree[keep]
        return self._sum(rho, self._squares[keep] * degree / self.variance, degree - 1)

    def integral(self, rho: ArrayLike) -> Array:
        """∫C, term by term."""
        return self._sum(rho, self._squares / (self._degree + 1), self._degree + 1)

    @staticmethod
    def _sum(rho: ArrayLike, weights: Array, degree: Array) -> Array:
        asked = np.asarray(rho, dtype=np.float64)
        flat = asked.reshape(-1)
        # |ρ|ⁿ through one logarithm, far cheaper than a general power; signs apart
        with np.errstate(divide="ignore"):
            logs = np.log(np.abs(flat))
        odd = (degree % 2).astype(bool)
        even_part, odd_part = np.empty(flat.shape), np.empty(flat.shape)
        block = max(1, 2_000_000 // max(1, degree.size))
        for start in range(0, flat.size, block):
            piece = slice(start, start + block)
            with np.errstate(invalid="ignore"):
                powers = np.exp(logs[piece, None] * degree[None, :])
            if degree.size and degree[0] == 0:
                powers[:, 0] = 1.0  # 0⁰
            even_part[piece] = powers[:, ~odd] @ weights[~odd]
            odd_part[piece] = powers[:, odd] @ weights[odd]
        return (even_part + np.sign(flat) * odd_part).reshape(asked.shape)


class KinkedKernel(PairKernel):
    """The kernel of a gain with kinks, interpolated in the angle acos ρ."""

    def __init__(self, phi: Gain, variance: float, mean: float) -> None:
        self.variance = variance
        self._phi, self._mean = phi, mean
        self._value = self._fit(phi.value)
        sine = _CHEBYSHEV.interpolate(lambda angle: self._value(angle) * np.sin(angle),
                                      _NODES + 8, domain=[0.0, math.pi])
        # dρ = -sin(angle) d(angle), and ρ = 0 at a right angle
        self._integral = -sine.integ(lbnd=math.pi / 2)

    def _fit(self, function: Function) -> np.polynomial.chebyshev.Chebyshev:
        unit = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
        angle = 0.5 * math.pi * (1 + unit)
        values = pair_average(function, function, self.variance, self.variance * np.cos(angle),
                              mean=self._mean, kinks=self._phi.kinks)
        return _CHEBYSHEV.fit(angle, values, _NODES - 1, domain=[0.0, math.pi])

    @cached_property
    def _slope(self) -> np.polynomial.chebyshev.Chebyshev:
        return self._fit(self._phi.slope)

    def value(self, rho: ArrayLike) -> Array:
        """C(ρ), interpolated."""
        return np.asarray(self._value(self._angle(rho)))

    def slope(self, rho: ArrayLike) -> Array:
        """⟨φ'φ'⟩, interpolated by itself."""
        return np.asarray(self._slope(self._angle(rho)))

    def integral(self, rho: ArrayLike) -> Array:
        """∫C, of the interpolant."""
        return np.asarray(self._integral(self._angle(rho)))

    @staticmethod
    def _angle(rho: ArrayLike) -> Array:
        return np.arccos(np.clip(np.asarray(rho, dtype=np.float64), -1.0, 1.0))


def pair_kernel(phi: Gain, variance: float, mean: float = 0.0) -> PairKernel:
    """The kernel of a gain at one variance.

    Parameters
    ----------
    phi
        The gain; its ``kinks`` decide the method.
    variance
        Δ0 > 0.
    mean
        Mean of the input.

    Raises
    ------
    InputError
        The variance is not positive, or the gain is not smooth and names no kinks.
    """
    if not (math.isfinite(variance) and variance > 0):
        raise InputError("pair_kernel", found=f"variance {variance!r}", expected="a number > 0")
    if phi.kinks:
        return KinkedKernel(phi, variance, mean)
    for terms in _TERMS:
        coefficients = hermite_coefficients(phi, variance, mean, terms)
        squares = coefficients**2
        if squares[-12:].sum() * terms < _SMALL * squares.sum() * 12 or squares.sum() == 0:
            return MehlerKernel(variance, coefficients)
    raise InputError("pair_kernel",
                     found=f"gain {phi.name!r} at variance {variance:.4g}, whose Hermite "
                           f"coefficients do not fall within {_TERMS[-1]} terms",
                     expected="a smooth gain", mend="Give its kinks: Gain(..., kinks=(...)).")


def hermite_coefficients(phi: Gain, variance: float, mean: float | Array, terms: int) -> Array:
    """c_n = ⟨φ(μ + √Δ0 z) h_n(z)⟩ for n < terms, z standard Gaussian, h_n orthonormal.

    Of shape [terms], or [terms, M] where ``mean`` is [M].
    """
    # the integrand oscillates as fast as h_n times what of φ is left at order n
    step = min(0.1, 2.0 / math.sqrt(terms))
    z = np.arange(-_REACH, _REACH + step / 2, step)
    # half of the Gaussian weight goes with h_n, so that the recursion stays bounded
    root = np.exp(-0.25 * z * z) / (2 * math.pi) ** 0.25
    around = np.asarray(mean, dtype=np.float64)[..., None]
    weighted = step * root * phi.value(around + math.sqrt(variance) * z)
    out = np.empty((terms, *np.shape(mean)))
    before, now, spare = root, z * root, np.empty_like(z)
    out[0], out[1] = weighted @ before, weighted @ now
    order = np.arange(terms + 1.0)
    ahead, back = 1 / np.sqrt(order + 1), np.sqrt(order / (order + 1))
    # h_{n+1} = (z h_n - √n h_{n-1}) / √(n+1), in three buffers
    for n in range(1, terms - 1):
        np.multiply(z, now, out=spare)
        spare *= ahead[n]
        before *= back[n]
        np.subtract(spare, before, out=before)
        before, now = now, before
        out[n + 1] = weighted @ now
    return out
