"""Deterministic two-time theory of the vanilla flow without reciprocal correlation.

x' = -x + h with a Gaussian field h is linear in h, so x is Gaussian for any φ, its response is that
of one leaking neuron, and the covariance closes: C_x determines C_φ, which drives C_x one step on.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from neurosparse.meanfield.two_time_problem import Problem
from neurosparse.meanfield.two_time_sweep import Moments
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]

_ORDERS = 192
_GRID = np.linspace(-12.0, 12.0, 4801)


def _hermite_functions() -> Array:
    """He_k(z) / sqrt(k!) times sqrt of the normal density, on the grid [orders, points]."""
    rows = np.empty((_ORDERS, _GRID.size))
    rows[0] = np.exp(-_GRID**2 / 4) / (2 * math.pi) ** 0.25
    rows[1] = _GRID * rows[0]
    for k in range(1, _ORDERS - 1):
        rows[k + 1] = (_GRID * rows[k] - math.sqrt(k) * rows[k - 1]) / math.sqrt(k + 1)
    return rows


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _mehler(one: Array, others: Array, correlation: Array) -> Array:
    """sum_k one_k others_mk ρ_m^k, for every m."""
    out = np.empty(len(others))
    for m in range(len(others)):
        total = 0.0
        for k in range(len(one) - 1, -1, -1):
            total = total * correlation[m] + one[k] * others[m, k]
        out[m] = total
    return out


class _PairAverage:
    """<φ(x_n) φ(x_m)> of jointly Gaussian x_n, one time after another, by Mehler's series.

    E φ(√q z) φ(√q' z') = sum_k a_k(q) a_k(q') ρ^k with a_k the Hermite coefficients. What the
    first orders leave of <φ²> is put into the next one, so the sum is exact at ρ = 1.
    """

    def __init__(self, problem: Problem) -> None:
        self.phi = problem.phi
        self.functions = _hermite_functions()
        self.step = _GRID[1] - _GRID[0]
        self.coefficients = np.zeros((problem.size, _ORDERS + 1))
        self.deviation = np.zeros(problem.size)
        self.square = np.zeros(problem.size)

    def extend(self, n: int, covariance: Array) -> tuple[Array, float, float]:
        """Row n of C_φ [n + 1], <φ'> and <φ'²>, from row n of C_x [n + 1]."""
        deviation = math.sqrt(max(float(covariance[n]), 0.0))
        self.deviation[n] = deviation
        weight = self.functions[0]
        value = self.phi.value(deviation * _GRID)
        slope = self.phi.slope(deviation * _GRID)
        a = self.functions @ (value * weight) * self.step
        square = float(np.sum((value * weight) ** 2) * self.step)
        self.coefficients[n, :-1] = a
        self.coefficients[n, -1] = math.sqrt(max(square - float(a @ a), 0.0))
        scale = deviation * self.deviation[:n]
        correlation = np.divide(covariance[:n], scale, out=np.zeros(n), where=scale > 0)
        np.clip(correlation, -1.0, 1.0, out=correlation)
        row = np.append(_mehler(self.coefficients[n], self.coefficients[:n], correlation), square)
        mean = np.sum(slope * weight**2) * self.step
        return row, float(mean), float(np.sum((slope * weight) ** 2) * self.step)


def gaussian_closure(problem: Problem, progress: Progress = silent) -> Moments:
    """Covariances and responses of the vanilla flow with independent couplings, by quadrature."""
    p, size = problem, problem.size
    start, field, kick = _propagators(p)
    cx, ch, cphi = (np.zeros((size, size)) for _ in range(3))
    slope, square = np.zeros(size), np.zeros(size)
    pairs = _PairAverage(p)
    finished = size
    for n in range(size):
        row = p.initial_variance * start[n] * start[:n + 1]
        row += field[:n + 1, :n] @ (field[n, :n] @ ch[:n, :n])
        row += p.noise * p.dt * (kick[:n + 1, :n] @ kick[n, :n])
        if not np.isfinite(row).all():
            finished = n
            break
        cx[n, :n + 1] = cx[:n + 1, n] = row
        row, slope[n], square[n] = pairs.extend(n, row)
        cphi[n, :n + 1] = cphi[:n + 1, n] = row
        ch[n, :n + 1] = p.gain**2 * row
        if p.input_covariance is not None:
            ch[n, :n + 1] += p.input_covariance[n, :n + 1]
        ch[:n + 1, n] = ch[n, :n + 1]
        progress("two-time mean field", n + 1, size)
    answer = {("x", "h"): field, ("phi", "h"): slope[:, None] * field}
    for matrix in (cx, cphi, *answer.values()):
        matrix[finished:] = np.nan
        matrix[:, finished:] = np.nan
    slope[finished:] = square[finished:] = np.nan
    return Moments({"x": cx, "phi": cphi}, answer, slope, square, finished)


def _propagators(p: Problem) -> tuple[Array, Array, Array]:
    """x_n per unit of x_0 [T], of the field in step m [T, T], of a kick after step m [T, T]."""
    size = p.size
    start, field, kick = np.ones(size), np.zeros((size, size)), np.zeros((size, size))
    for n in range(size - 1):
        now, last = (p.dt * weight for weight in p.weights(n))
        start[n + 1] = (1 - now) * start[n] - last * start[n - 1]
        for matrix in (field, kick):
            matrix[n + 1] = (1 - now) * matrix[n] - last * matrix[n - 1]
        field[n + 1, n] += now
        field[n + 1, n - 1] += last
        kick[n + 1, n] += 1.0
    return start, field, kick
