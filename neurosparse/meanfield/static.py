"""Variance of a neuron's input in the stationary state, without the lags where possible.

Continuous time, white noise of intensity σ² (⟨ξ(t)ξ(t')⟩ = σ² δ(t - t')), constant input: the
autocovariance Δ(τ) = Δ0 ρ(τ) moves in a potential (Sompolinsky, Crisanti and Sommers 1988; with
noise Schuecker et al., arXiv:1603.01880),

    ρ'' = ρ - (g² C(ρ) + v²)/Δ0,   V(ρ) = -ρ²/2 + (g² ∫C + v² ρ)/Δ0,
    V(1) + σ⁴/(8 Δ0²) = V(ρ∞),     ρ∞ = (g² C(ρ∞) + v²)/Δ0 the smaller root,

and the last line fixes Δ0: energy is conserved between τ = 0, where ρ' = -σ²/(2 Δ0), and infinity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from neurosparse.dynamics.gains import Gain
from neurosparse.errors import InputError
from neurosparse.meanfield.inputs import Constant
from neurosparse.meanfield.pair_kernel import PairKernel, pair_kernel
from neurosparse.meanfield.quadrature import average, panels, trapezoid

_UNBOUNDED = 1e6  # Δ0; a gain that saturates stays below g² sup φ²


@dataclass(frozen=True)
class Problem:
    """What a stationary problem is made of: checked numbers, no defaults."""

    gain: float
    phi: Gain
    delta: float | None
    noise: float
    constant: Constant
    operation: str

    @property
    def field(self) -> float:
        """v², the variance of a constant input over neurons."""
        return self.constant.spread**2

    def moment(self, variance: float) -> float:
        """⟨φ²⟩ at a variance."""
        return average(lambda x: self.phi.value(x) ** 2, variance, self.constant.mean,
                       kinks=self.phi.kinks)

    def slope_moment(self, variance: float) -> float:
        """⟨φ'²⟩ at a variance."""
        return average(lambda x: self.phi.slope(x) ** 2, variance, self.constant.mean,
                       kinks=self.phi.kinks)

    def mean_slope(self, variance: float) -> float:
        """⟨φ'⟩ at a variance."""
        return average(self.phi.slope, variance, self.constant.mean, kinks=self.phi.kinks)


def is_odd(phi: Gain) -> bool:
    """Whether φ(-x) = -φ(x), looked at on a grid."""
    x = np.linspace(0.0, 7.0, 57)
    return bool(np.abs(phi.value(x) + phi.value(-x)).max() <= 1e-14 * np.abs(phi.value(x)).max())


def frozen_variance(problem: Problem) -> float:
    """Δ = g²⟨φ²⟩ + v², the smallest solution that small deviations of Δ do not leave.

    It is the variance over fixed points, and with white noise added that of the map with δ = 1.

    Raises
    ------
    InputError
        There is none: the state grows without bound.
    """
    extra = problem.field + (problem.noise if problem.delta == 1.0 else 0.0)

    def growth(variance: float) -> float:
        return problem.gain**2 * problem.moment(variance) + extra - variance

    low = 1e-12
    if growth(low) <= 0:
        return 0.0 if extra == 0 and problem.moment(0.0) == 0 else float(
            brentq(growth, 0.0, low, xtol=1e-16))
    high = low
    while growth(high) > 0:
        low, high = high, 2 * high
        if high > _UNBOUNDED:
            raise InputError(problem.operation,
                             found=f"gain {problem.gain:g} with phi {problem.phi.name!r}",
                             expected="a network whose stationary state is bounded")
    return float(brentq(growth, low, high, xtol=1e-15, rtol=1e-14))


def plateau(problem: Problem, kernel: PairKernel) -> float | None:
    """ρ∞, the smaller root of ρ = (g² C(ρ) + v²)/Δ0 in [0, 1]; None where there is none.

    C is convex, so Newton's method from zero cannot step over the root.
    """
    factor = problem.gain**2 / kernel.variance
    rho = 0.0
    for _ in range(200):
        rise = factor * float(kernel.value(rho)) + problem.field / kernel.variance - rho
        tilt = problem.gain**2 * float(kernel.slope(rho)) - 1
        if abs(rise) < 1e-15:
            return rho
        if tilt >= 0:
            return None
        step = -rise / tilt
        rho += step
        if rho >= 1:
            return None
        if abs(step) < 1e-15:
            return rho
    return rho


def potential(problem: Problem, kernel: PairKernel, rho: float) -> float:
    """V(ρ) of the module's first lines."""
    drive = problem.gain**2 * float(kernel.integral(rho)) + problem.field * rho
    return -0.5 * rho * rho + drive / kernel.variance


def _energy_gap(problem: Problem, variance: float) -> float:
    """V(1) + σ⁴/(8Δ0²) - V(ρ∞); falls through zero at the solution."""
    kinetic = problem.noise**2 / (8 * variance**2)
    if is_odd(problem.phi) and problem.field == 0 and problem.constant.mean == 0:
        # ρ∞ = 0, and Δ0 ∫C from 0 to 1 is the variance of the primitive of φ: one average
        return kinetic - 0.5 + (problem.gain / variance) ** 2 * primitive_variance(
            problem.phi, variance)
    kernel = pair_kernel(problem.phi, variance, problem.constant.mean)
    rest = plateau(problem, kernel)
    if rest is None:
        return 1.0
    return kinetic + potential(problem, kernel, 1.0) - potential(problem, kernel, rest)


def primitive_variance(phi: Gain, variance: float) -> float:
    """Variance of Φ(x), Φ' = φ, for x ~ N(0, Δ0): Δ0 times the integral of C from 0 to 1."""
    sigma = math.sqrt(variance)
    if phi.kinks:
        nodes, weights = panels(tuple(k / sigma for k in phi.kinks))
    else:
        nodes, weights = trapezoid(0.0625 / max(1, math.ceil(sigma / 4)))
    unit, unit_weights = np.polynomial.legendre.leggauss(10)
    half = 0.5 * np.diff(nodes)[:, None]
    inside = 0.5 * (nodes[1:] + nodes[:-1])[:, None] + half * unit[None, :]
    steps = sigma * (half * phi.value(sigma * inside)) @ unit_weights
    primitive = np.concatenate([[0.0], np.cumsum(steps)])
    primitive -= weights @ primitive
    return float(weights @ primitive**2)


def solve_continuous_variance(problem: Problem) -> float:
    """Δ0 of the flow; the frozen value where the state is a stable fixed point."""
    if problem.noise == 0:
        high = frozen_variance(problem)
        if high == 0 or problem.gain**2 * problem.slope_moment(high) <= 1:
            return high
    else:
        high = max(problem.noise, 1e-8)
    while _energy_gap(problem, high) > 0:
        high *= 2
        if high > _UNBOUNDED:
            raise InputError(problem.operation,
                             found=f"gain {problem.gain:g} with phi {problem.phi.name!r}",
                             expected="a network whose stationary state is bounded")
    low = high / 2
    while _energy_gap(problem, low) <= 0:
        low /= 2
        if low < 1e-14:
            return high
    return float(brentq(lambda v: _energy_gap(problem, v), low, 2 * low, xtol=1e-15, rtol=1e-14))
