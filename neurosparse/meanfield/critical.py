"""Where the rest state goes unstable and where chaos begins."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from neurosparse.dynamics.gains import Gain
from neurosparse.errors import InputError
from neurosparse.meanfield.checks import inside
from neurosparse.meanfield.pair_kernel import pair_kernel
from neurosparse.meanfield.static import (
    Problem,
    frozen_variance,
    is_odd,
    potential,
    primitive_variance,
    rest_slope_moment,
)
from neurosparse.meanfield.stationary import make_problem


def critical_gain(phi: str | Gain | tuple[Any, ...] = "tanh", *, symmetry: float = 0.0,
                  noise: float = 0.0) -> float:
    """Coupling gain g_c at which the quiet state loses its stability.

    Parameters
    ----------
    phi
        Gain function.
    symmetry
        η = corr(J_ij, J_ji) in (-1, 1].
    noise
        White noise σ² > 0: then the g at which chaos begins (η = 0, odd φ).

    Returns
    -------
    float
        Rest state: 1/(φ'(0) (1 + η)) (Sompolinsky, Crisanti and Sommers 1988); with a kink at zero
        g²⟨φ'²⟩ = 1 over both sides, √2 for ReLU (Kadmon and Sompolinsky 2015). Where φ(0) ≠ 0,
        the g at which the frozen state Δ = g²⟨φ²⟩ reaches g²⟨φ'²⟩ = 1. Infinite if there is none,
        as where φ'(0) = 0 (a threshold-power gain with exponent above one).

    Raises
    ------
    InputError
        η ≠ 0 with a kink, with noise, or with φ(0) ≠ 0; noise with a gain that is not odd or that
        has no finite critical gain; a number out of its range.
    """
    problem = make_problem("critical_gain", 1.0, phi, None, noise, None)
    inside("critical_gain", "symmetry", symmetry, -1, 1, open_low=True)
    resting = problem.moment(0.0) == 0
    if symmetry and (problem.phi.kinks or noise or not resting):
        raise InputError("critical_gain", found=f"symmetry {symmetry!r} with noise, a kink or "
                         "φ(0) ≠ 0", expected="symmetry 0 there",
                         mend="The two-time solver takes any symmetry.")
    if noise > 0:
        low = critical_gain(problem.phi)
        if not is_odd(problem.phi) or math.isinf(low):
            raise InputError("critical_gain", found=f"noise {noise:g} with gain "
                             f"{problem.phi.name!r}", expected="an odd gain with φ'(0) ≠ 0 there")
        high = 2 * low
        while critical_noise(high, problem.phi) < noise:
            low, high = high, 2 * high
        return float(brentq(lambda g: critical_noise(g, problem.phi) - noise,
                            max(low, 1e-9) * (1 + 1e-9), high, xtol=1e-12))
    if resting:
        slope = math.sqrt(rest_slope_moment(problem.phi))
        return 1 / (slope * (1 + symmetry)) if slope > 0 else math.inf
    return _frozen_edge(problem)


def _frozen_edge(problem: Problem) -> float:
    """g with Δ = g²⟨φ²⟩ and g²⟨φ'²⟩ = 1: Δ ⟨φ'²⟩ = ⟨φ²⟩."""

    def gap(variance: float) -> float:
        return variance * problem.slope_moment(variance) - problem.moment(variance)

    grid = np.geomspace(1e-6, 1e6, 241)
    for low, high in itertools.pairwise(grid.tolist()):
        if gap(low) < 0 <= gap(high):
            variance = float(brentq(gap, low, high, rtol=1e-14))
            return 1 / math.sqrt(problem.slope_moment(variance))
    return math.inf


def onset_is_continuous(phi: str | Gain | tuple[Any, ...] = "tanh") -> bool:
    """Whether activity grows from zero at the critical gain, for an odd gain.

    The slope moment ⟨φ'²⟩ falls with the variance near zero if φ'''(0) < 0; with φ'''(0) > 0 an
    active state exists below g_c and the onset is a jump (Pazó, arXiv:2405.14607).

    Raises
    ------
    InputError
        A gain that is not odd.
    """
    problem = make_problem("onset_is_continuous", 1.0, phi, None, 0.0, None)
    if not is_odd(problem.phi):
        raise InputError("onset_is_continuous", found=f"gain {problem.phi.name!r}",
                         expected="an odd gain")
    small = 1e-4
    growth = problem.moment(small) / small - problem.slope_moment(0.0)
    return bool(growth <= 1e-12)


def critical_noise(gain: float, phi: str | Gain | tuple[Any, ...] = "tanh") -> float:
    """White-noise intensity σ² at which chaos begins (from above: more noise, no chaos).

    Parameters
    ----------
    gain
        g.
    phi
        An odd gain function.

    Returns
    -------
    float
        σ²_c: there Δ0 = g²⟨φ²⟩, with Δ0 of the noisy state, so that σ⁴/8 = Δ0² (V(0) - V(1)). Zero
        where there is no chaos without noise.

    Raises
    ------
    InputError
        A gain that is not odd; a number out of its range.

    Notes
    -----
    Schuecker, Goedeke and Helias, arXiv:1603.01880: the zero mode's curvature at lag zero changes
    sign there.
    """
    problem, variance = _noisy_edge(
        "critical_noise", gain, phi, lambda p: frozen_variance(p))
    return _noise_for(problem, variance)


def local_noise(gain: float, phi: str | Gain | tuple[Any, ...] = "tanh") -> float:
    """White-noise intensity σ² of the local instability, g²⟨φ'²⟩ = 1.

    Between it and :func:`critical_noise` perturbations grow at first and die out in the end.

    Parameters
    ----------
    gain
        g.
    phi
        An odd gain function.

    Raises
    ------
    InputError
        A gain that is not odd; a number out of its range.
    """

    def edge(problem: Problem) -> float:
        def excess(variance: float) -> float:
            return problem.gain**2 * problem.slope_moment(variance) - 1

        if excess(0.0) <= 0:
            return 0.0
        high = 1.0
        while excess(high) > 0:
            high *= 2
            if high > 1e12:
                raise InputError("local_noise", found=f"gain {problem.phi.name!r}, which does not "
                                 "saturate", expected="a gain whose slope falls")
        return float(brentq(excess, 0.0, high, rtol=1e-14))

    problem, variance = _noisy_edge("local_noise", gain, phi, edge)
    return _noise_for(problem, variance)


def _noisy_edge(operation: str, gain: float, phi: str | Gain | tuple[Any, ...],
                edge: Callable[[Problem], float]) -> tuple[Problem, float]:
    problem = make_problem(operation, gain, phi, None, 0.0, None)
    if not is_odd(problem.phi):
        raise InputError(operation, found=f"gain {problem.phi.name!r}", expected="an odd gain")
    return problem, edge(problem)


def _noise_for(problem: Problem, variance: float) -> float:
    """σ² of the noisy state that has this variance: V(1) + σ⁴/(8Δ0²) = V(0) = 0."""
    if variance == 0:
        return 0.0
    if problem.phi.kinks:
        kernel = pair_kernel(problem.phi, variance)
        well = -potential(problem, kernel, 1.0)
    else:
        well = 0.5 - (problem.gain / variance) ** 2 * primitive_variance(problem.phi, variance)
    return variance * math.sqrt(8 * max(0.0, well))
