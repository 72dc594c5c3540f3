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
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from neurosparse.dynamics.gains import Gain
from neurosparse.dynamics.gains import gain as named_gain
from neurosparse.errors import InputError
from neurosparse.meanfield.inputs import Constant
from neurosparse.meanfield.pair_kernel import PairKernel, pair_kernel
from neurosparse.meanfield.quadrature import average, panels, trapezoid

_UNBOUNDED = 1e6  # Δ0, in units of what drives it; a gain that saturates stays below g² sup φ²
_ROUNDING = 1e-11  # of the energies, which are of order one: below it their sign means nothing


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
    def is_linear(self) -> bool:
        """Whether the gain is the built-in linear one, for which all is known in closed form."""
        return self.phi is named_gain("linear")

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


def rest_slope_moment(phi: Gain, mean: float = 0.0) -> float:
    """⟨φ'²⟩ as the variance falls to zero: φ'(mean)², at a kink the mean over its two sides."""
    if mean not in phi.kinks:
        return float(phi.slope(np.array([mean]))[0]) ** 2
    near, nearer = (np.array([-1.0, 1.0]) * (abs(mean) or 1.0) * step for step in (1e-8, 1e-12))
    outer, inner = phi.slope(mean + near) ** 2, phi.slope(mean + nearer) ** 2
    # a slope that still falls as a power of the distance ends at zero: [x - θ]₊ᵖ with p > 1
    return 0.5 * float(inner[inner > outer * (1 - 1e-6)].sum())


def exact_linear_variance(problem: Problem) -> float:
    """Δ0 of the linear gain, with σ², v² and the mean m of the input, for a flow or a map.

    (g² m² + v²)/(1 - g²) is frozen, and what fluctuates has the power spectrum σ²/(1 - g² + ω²),
    or δσ²/|e^{iω} - 1 + δ|² with δ²g² taken off the denominator.

    Raises
    ------
    InputError
        g >= 1 with anything to amplify, or g > 1: the variance is infinite.
    """
    g, source = problem.gain, problem.gain**2 * problem.constant.mean**2 + problem.field
    if g > 1 or (g == 1 and source + problem.noise > 0):
        raise unbounded(problem)
    if source + problem.noise == 0:
        return 0.0
    left = (1 - g) * (1 + g)
    fluctuating = problem.noise / (2 * math.sqrt(left))
    if problem.delta is not None:
        # at δ = 1 this is σ²/(1 - g²)
        other = (2 - problem.delta) ** 2 - (problem.delta * g) ** 2
        fluctuating = problem.noise / math.sqrt(left * other)
    return source / left + fluctuating


def unbounded(problem: Problem) -> InputError:
    """The refusal of a network whose variance grows without end."""
    return InputError(problem.operation,
                      found=f"gain {problem.gain:.12g} with phi {problem.phi.name!r}",
                      expected="a network whose stationary state is bounded",
                      mend="Take a smaller gain, or a phi that saturates.")


def frozen_variance(problem: Problem) -> float:
    """Δ = g²⟨φ²⟩ + v², the smallest solution that small deviations of Δ do not leave.

    It is the variance over fixed points, and with white noise added that of the map with δ = 1.

    Raises
    ------
    InputError
        There is none: the state grows without bound.
    """
    extra = problem.field + (problem.noise if problem.delta == 1.0 else 0.0)
    if problem.is_linear:
        noise = problem.noise if problem.delta == 1.0 else 0.0
        return exact_linear_variance(replace(problem, noise=noise))

    def growth(variance: float) -> float:
        """Of the variance, in units of itself."""
        return (problem.gain**2 * problem.moment(variance) + extra) / variance - 1

    at_zero = problem.gain**2 * problem.moment(0.0) + extra
    low = 0.5 * at_zero or 1e-12
    while growth(low) <= 0:
        if at_zero == 0:
            return 0.0
        low /= 2
    found = _root_above(growth, low, _UNBOUNDED * max(1.0, extra, problem.gain**2))
    if found is None:
        raise unbounded(problem)
    return found


def _root_above(excess: Callable[[float], float], low: float, limit: float) -> float | None:
    """Zero of a function that is positive at ``low`` and falls; None if there is none to ``limit``.

    Where a gain that ends straight is just critical the function sinks to zero without crossing
    it, and far out its sign is that of rounding errors: a fall counts once it is clear of them.
    """
    high = 2 * low
    while not (value := excess(high)) < -_ROUNDING:
        low = high if value > 0 else low
        high *= 2
        if high > limit:
            return None
    return float(brentq(excess, low, high, xtol=1e-15 * low, rtol=1e-14))


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
    kinetic = (problem.noise / variance) ** 2 / 8
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
    """Δ0 of the flow; the frozen value where the state is a stable fixed point.

    Raises
    ------
    InputError
        The state grows without bound.
    """
    if problem.is_linear:
        return exact_linear_variance(replace(problem, delta=None))
    # the leak alone leaves σ²/2 of the noise
    start = problem.noise / 4
    if problem.noise == 0:
        start = frozen_variance(problem)
        if start == 0 or problem.gain**2 * problem.slope_moment(start) <= 1:
            return start

    def gap(variance: float) -> float:
        return _energy_gap(problem, variance)

    if gap(start) > 0:
        found = _root_above(gap, start, _UNBOUNDED * max(1.0, start, problem.gain**2))
        if found is None:
            raise unbounded(problem)
        return found
    low = start / 2
    while gap(low) <= 0:
        low /= 2
        if low < 1e-14:
            return start  # at the onset itself, where the frozen and the chaotic state meet
    return float(brentq(gap, low, 2 * low, xtol=1e-15 * low, rtol=1e-14))
