"""How fast the fastest mode decays, and how long a step that allows."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from neurosparse.dynamics.couplings import Couplings, dense
from neurosparse.dynamics.gains import Gain

# length of the stability region along the negative real axis
_INTERVAL = {
    "euler": 2.0,
    "euler-maruyama": 2.0,
    "heun": 2.0,
    "rk4": 2.785293563405282,
}

# up to this size a full decomposition costs less than the iteration
_SMALL = 64


class StabilityWarning(UserWarning):
    """A step is longer than the method can take: what follows may be an artefact of it."""


def stable_interval(method: str) -> float:
    """|λ dt| up to which ``method`` damps a real decaying mode; infinite for adaptive methods."""
    return _INTERVAL.get(method, math.inf)


def largest_singular_value(J: Couplings, factor: float) -> float:
    """σ_max(1 - factor J), by Lanczos to about 1e-3."""
    n = int(J.shape[0])
    if n <= _SMALL:
        return float(np.linalg.norm(np.eye(n) - factor * dense(J), 2))
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    def squared(v: Any) -> Any:
        moved = v - factor * (J @ v)
        return moved - factor * (J.T @ moved)

    operator = LinearOperator((n, n), matvec=squared, dtype=np.float64)
    start = np.random.default_rng(20261).standard_normal(n)
    try:
        top = eigsh(operator, k=1, which="LA", tol=1e-3, v0=start, maxiter=300,
                    return_eigenvectors=False)[0]
    except ArpackNoConvergence as error:
        found = error.eigenvalues
        top = found[0] if len(found) else start @ squared(start) / (start @ start)
    return math.sqrt(max(float(top), 0.0))


def fastest_rate(J: Couplings, gamma: float, phi: Gain) -> float:
    """Bound of |λ| of -(1 - γ d Jᵀ)(1 - d J), the Jacobian where every slope is the steepest d.

    A gain without steepest slope is taken with its slope at zero.
    """
    slope = phi.steepest if math.isfinite(phi.steepest) else abs(phi.slope_at_zero)
    first = largest_singular_value(J, slope)
    if gamma == 0.0:
        return max(first, 1.0)
    second = first if gamma == 1.0 else largest_singular_value(J, gamma * slope)
    return max(first * second, 1.0)


def warn_if_unstable(flow: Any, method: str, dt: float) -> None:
    """Warn where ``dt`` is beyond ``flow.stable_step(method)``."""
    longest = flow.stable_step(method)
    if dt > longest:
        warnings.warn(
            f"simulate: dt {dt:g} is beyond the stable range of {method!r} for this flow "
            f"(longest stable step {longest:.4g}); chaos seen with it may be an artefact",
            StabilityWarning, stacklevel=3)
