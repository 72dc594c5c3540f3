"""The stationary autocovariance of the flow as a function of the lag.

Near lag zero the second-order equation is integrated; once half of the fall is done the first
integral takes over, ρ' = -√(2 (V(ρ∞) - V(ρ))), which is stable where the second-order equation
has a growing solution. With u = ρ - ρ∞ and Price's theorem it reads, without cancellation,

    (u'/u)² = 1 - 2 g² ∫ (1 - t) ⟨φ'φ'⟩(ρ∞ + u t) dt   over t in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from neurosparse.meanfield.pair_kernel import PairKernel, pair_kernel
from neurosparse.meanfield.static import Problem, plateau

Array = NDArray[np.float64]

_DEGREE = 48  # of the interpolant of the rate of fall
_END = 1e-14  # of the fall, where the autocovariance counts as arrived


@dataclass(frozen=True)
class Fall:
    """ρ(τ) from 1 at lag zero to the plateau.

    Attributes
    ----------
    kernel
        Of the gain at Δ0.
    rest
        ρ∞.
    rate
        κ: ρ - ρ∞ falls as exp(-κ τ) at the end.
    reach
        Lag at which the fall has ended to 1e-14.
    at
        ρ at lags >= 0, vectorised.
    """

    kernel: PairKernel
    rest: float
    rate: float
    reach: float
    at: Callable[[Array], Array]


def solve_fall(problem: Problem, variance: float) -> Fall:
    """Integrate the autocovariance of the flow outwards from lag zero.

    Parameters
    ----------
    problem
        What is solved.
    variance
        Δ0, of :func:`neurosparse.meanfield.static.solve_continuous_variance`.
    """
    kernel = pair_kernel(problem.phi, variance, problem.constant.mean)
    rest = plateau(problem, kernel)
    factor, extra = problem.gain**2 / variance, problem.field / variance
    if rest is None or 1 - rest < 1e-9:
        return Fall(kernel, 1.0, 0.0, 0.0, lambda lags: np.ones_like(lags))
    log_rate = _log_rate(problem, kernel, rest)
    rate = -float(log_rate(0.0))

    def second_order(_: float, state: Array) -> list[float]:
        return [state[1], state[0] - factor * float(kernel.value(state[0])) - extra]

    def half_way(_: float, state: Array) -> float:
        return float(state[0] - 0.5 * (1 + rest))

    half_way.terminal = True  # type: ignore[attr-defined]

    # the excess over the plateau on a logarithmic scale: its rate goes to -κ, never to zero
    def first_order(_: float, state: Array) -> list[float]:
        return [log_rate(math.exp(state[0]))]

    options = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14, "dense_output": True}
    begin = solve_ivp(second_order, (0.0, 1e4 / max(rate, 1e-6)),
                      [1.0, -problem.noise / (2 * variance)], events=half_way, **options)
    meet = float(begin.t[-1])
    depth = math.log(0.5 * (1 - rest))
    length = (depth - math.log(_END)) / max(rate, 1e-8)
    end = solve_ivp(first_order, (0.0, 1.5 * length + 10), [depth], **options)

    def at(lags: Array) -> Array:
        lags = np.abs(np.asarray(lags, dtype=np.float64))
        out = np.empty(lags.shape)
        early = lags <= meet
        out[early] = begin.sol(lags[early])[0] if early.any() else 0.0
        late = np.minimum(lags[~early] - meet, end.t[-1])
        out[~early] = rest + np.exp(end.sol(late)[0]) if late.size else 0.0
        return out

    return Fall(kernel, rest, rate, meet + length, at)


def _log_rate(problem: Problem, kernel: PairKernel, rest: float) -> Callable[[float], float]:
    """u'/u as a function of u in [0, (1 - ρ∞)/2], interpolated by Chebyshev polynomials."""
    top = 0.5 * (1 - rest)
    angles = np.pi * (np.arange(_DEGREE) + 0.5) / _DEGREE
    u = 0.5 * top * (1 + np.cos(angles))
    unit, weights = np.polynomial.legendre.leggauss(24)
    t, weights = 0.5 * (1 + unit), 0.5 * weights
    slopes = kernel.slope(rest + u[:, None] * t[None, :])
    squared = 1 - 2 * problem.gain**2 * (slopes @ (weights * (1 - t)))
    values = -np.sqrt(np.maximum(squared, 0.0))
    orders = np.arange(_DEGREE)
    coefficients = (2 / _DEGREE) * np.cos(orders[:, None] * angles[None, :]) @ values
    coefficients[0] /= 2

    def rate(above: float) -> float:
        place = min(1.0, max(-1.0, 2 * above / top - 1))
        return float(coefficients @ np.cos(orders * math.acos(place)))

    return rate
