"""The stationary autocovariance of the map x(n+1) = (1-δ) x(n) + δ J φ(x(n)) + √δ σ ξ(n).

With b = 1 - δ the lags k = 0, 1, ... obey, at lag zero with C_{-1} = C_1 and one more source,

    (1 + b²) C_k - b (C_{k+1} + C_{k-1}) = δ² (g² ⟨φφ⟩(C_k) + v²) + δ σ² [k = 0].

Newton's method: the Jacobian is tridiagonal but for the column of C_0, which also sets the
variance inside the average; Sherman and Morrison's formula takes care of it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

from neurosparse.errors import InputError
from neurosparse.meanfield.covariance_flow import solve_fall
from neurosparse.meanfield.pair_kernel import PairKernel, pair_kernel
from neurosparse.meanfield.static import (
    Problem,
    frozen_variance,
    plateau,
    solve_continuous_variance,
)

Array = NDArray[np.float64]

_STEPS = 60
_MOST_LAGS = 200_000


def solve_map_lags(problem: Problem, tolerance: float) -> tuple[Array, float, PairKernel | None]:
    """Autocovariance of the map at lags 0, 1, 2, ... and the largest residual left.

    The kernel at C_0 comes third; it is None where the variance is zero.

    Raises
    ------
    InputError
        Unbounded state, or no convergence.
    """
    assert problem.delta is not None
    if problem.delta == 1.0:
        return _memoryless(problem)
    start, fixed = _first_guess(problem)
    if fixed:
        kernel = pair_kernel(problem.phi, start[0], problem.constant.mean) if start[0] else None
        return start, 0.0, kernel
    lags = start
    best = math.inf
    sensitivity = np.zeros_like(lags)
    for number in range(_STEPS):
        residual, kernel, slopes = _equations(problem, lags)
        worst = float(np.abs(residual).max()) / (problem.delta**2 * lags[0])
        if worst < tolerance or (worst < 1e3 * tolerance and worst >= best):
            return lags, worst, kernel
        if number < 2 or worst > 0.1 * best:
            sensitivity = _sensitivity(problem, lags, kernel, slopes)
        best = min(best, worst)
        step = _newton_step(problem, residual, slopes, sensitivity)
        # at most a third of the variance at once: the average needs it positive
        lags = lags + step * min(1.0, lags[0] / (3 * abs(step[0]) + 1e-300))
        lags = np.clip(lags, -lags[0] * (1 - 1e-12), None)
        lags[1:] = np.minimum(lags[1:], lags[0])
    raise InputError(problem.operation, found=f"no convergence at delta {problem.delta:g} "
                     f"(residual {best:.2g})", expected="a stationary state of the map")


def _memoryless(problem: Problem) -> tuple[Array, float, PairKernel | None]:
    """δ = 1: the lags above zero sit on the plateau."""
    variance = frozen_variance(problem)
    if variance == 0:
        return np.zeros(2), 0.0, None
    kernel = pair_kernel(problem.phi, variance, problem.constant.mean)
    rest = plateau(problem, kernel)
    return np.array([variance, variance * (1.0 if rest is None else rest)]), 0.0, kernel


def _first_guess(problem: Problem) -> tuple[Array, bool]:
    """The autocovariance of the flow, read at the map's lags; True where it is a fixed point."""
    assert problem.delta is not None
    variance = solve_continuous_variance(problem)
    if variance == 0:
        return np.zeros(2), True
    fall = solve_fall(problem, variance)
    if fall.rest == 1.0:
        return np.full(2, variance), True
    count = min(_MOST_LAGS, math.ceil(1.2 * fall.reach / problem.delta) + 4)
    lags = np.asarray(problem.delta * np.arange(count), dtype=np.float64)
    return variance * fall.at(lags), False


def _equations(problem: Problem, lags: Array) -> tuple[Array, PairKernel, Array]:
    """Residual of every lag, the kernel at C_0, and δ²g²⟨φ'φ'⟩."""
    assert problem.delta is not None
    delta, b = problem.delta, 1 - problem.delta
    strength = (delta * problem.gain) ** 2
    kernel = pair_kernel(problem.phi, lags[0], problem.constant.mean)
    # beyond the last lag the autocovariance is flat
    following = np.append(lags[1:], lags[-1])
    before = np.concatenate([lags[1:2], lags[:-1]])
    residual = (1 + b * b) * lags - b * (following + before)
    residual -= strength * kernel.value(lags / lags[0]) + delta**2 * problem.field
    residual[0] -= delta * problem.noise
    return residual, kernel, strength * kernel.slope(lags / lags[0])


def _sensitivity(problem: Problem, lags: Array, kernel: PairKernel, slopes: Array) -> Array:
    """Derivative of δ²g²⟨φφ⟩ at each lag by the variance alone; good enough for a direction."""
    assert problem.delta is not None
    strength = (problem.delta * problem.gain) ** 2
    step = 1e-5 * lags[0]
    more = pair_kernel(problem.phi, lags[0] + step, problem.constant.mean)
    raised = more.value(np.clip(lags / more.variance, -1, 1))
    out = np.asarray(strength * (raised - kernel.value(lags / lags[0])) / step)
    # at lag zero the covariance is the variance: its own slope is in `slopes`
    whole = (problem.moment(lags[0] + step) - problem.moment(lags[0] - step)) / (2 * step)
    out[0] = strength * whole - slopes[0]
    return out


def _newton_step(problem: Problem, residual: Array, slopes: Array, sensitivity: Array) -> Array:
    assert problem.delta is not None
    b = 1 - problem.delta
    bands = np.zeros((3, residual.size))
    bands[1] = 1 + b * b - slopes
    bands[0, 1:] = bands[2, :-1] = -b
    bands[0, 1] = -2 * b
    bands[1, -1] -= b
    pair = solve_banded((1, 1), bands, np.stack([-residual, -sensitivity], axis=1))
    plain, column = pair[:, 0], pair[:, 1]
    return np.asarray(plain - column * plain[0] / (1 + column[0]))
