"""How fast the fastest mode decays, and how long a step that allows."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from neurosparse.dynamics.couplings import Couplings, dense
from neurosparse.dynamics.gains import Gain

# A step multiplies a mode by the exponential series up to this order.
_ORDER = {"euler": 1, "euler-maruyama": 1, "heun": 2, "rk4": 4}

# up to this size a full decomposition costs less than the iteration
_SMALL = 64
# dimension of the Krylov space whose Ritz values stand for eigenvalues at the edge
_KRYLOV = 40


class StabilityWarning(UserWarning):
    """A step is longer than the method can take: what follows may be an artefact of it."""


def longest_step(method: str, mode: complex) -> float:
    """Longest dt up to which ``method`` damps y' = mode y, Re(mode) < 0; infinite for adaptive.

    The least positive root of |R(dt mode)|² = 1 with R the series of the method's order.
    """
    order = _ORDER.get(method)
    if order is None:
        return math.inf
    series = np.array([mode**k / math.factorial(k) for k in range(order + 1)])
    growth = np.convolve(series, series.conj()).real[1:]  # of |R|² - 1, a factor dt taken out
    roots = np.roots(growth[::-1])
    positive = roots.real[(abs(roots.imag) < 1e-9 * abs(roots)) & (roots.real > 0)]
    return float(positive.min())


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


def extent(J: Couplings, gamma: float, phi: Gain) -> tuple[float, float]:
    """How far the eigenvalues of the same Jacobian reach: (-min Re λ, max |Im λ|).

    Estimated by Ritz values of a Krylov space, which find the edge of a spectrum first; both at
    least what they are with no couplings, 1 and 0.
    """
    n, slope = int(J.shape[0]), _steepest(phi)

    def jacobian(v: Any) -> Any:
        moved = slope * (J @ v) - v
        return moved - gamma * slope * (J.T @ moved) if gamma else moved

    found = np.linalg.eigvals(jacobian(np.eye(n)) if n <= _SMALL else _projected(jacobian, n))
    turn = 0.0 if gamma == 1.0 else float(abs(found.imag).max())
    return max(float(-found.real.min()), 1.0), turn


def _projected(operator: Any, n: int) -> Any:
    """Arnoldi: the operator in an orthonormal basis of its Krylov space."""
    basis = np.zeros((n, _KRYLOV + 1))
    start = np.random.default_rng(20262).standard_normal(n)
    basis[:, 0] = start / np.linalg.norm(start)
    inside = np.zeros((_KRYLOV + 1, _KRYLOV))
    for k in range(_KRYLOV):
        v = operator(basis[:, k])
        for _ in range(2):  # once more: rounding
            share = basis[:, : k + 1].T @ v
            v = v - basis[:, : k + 1] @ share
            inside[: k + 1, k] += share
        inside[k + 1, k] = length = np.linalg.norm(v)
        if length < 1e-10 * np.linalg.norm(inside[: k + 1, k]):
            return inside[: k + 1, : k + 1]  # the space is invariant
        basis[:, k + 1] = v / length
    return inside[:_KRYLOV, :_KRYLOV]


def fastest_rate(J: Couplings, gamma: float, phi: Gain) -> float:
    """Bound of |λ| of -(1 - γ d Jᵀ)(1 - d J), the Jacobian where every slope is the steepest d.

    A gain without steepest slope is taken with its slope at zero.
    """
    slope = _steepest(phi)
    first = largest_singular_value(J, slope)
    if gamma == 0.0:
        return max(first, 1.0)
    second = first if gamma == 1.0 else largest_singular_value(J, gamma * slope)
    return max(first * second, 1.0)


def _steepest(phi: Gain) -> float:
    return phi.steepest if math.isfinite(phi.steepest) else abs(phi.slope_at_zero)


def warn_if_unstable(flow: Any, method: str, dt: float) -> None:
    """Warn where ``dt`` is beyond ``flow.stable_step(method)``."""
    longest = flow.stable_step(method)
    if dt > longest:
        warnings.warn(
            f"simulate: dt {dt:g} is beyond the stable range of {method!r} for this flow "
            f"(longest stable step {longest:.4g}); chaos seen with it may be an artefact",
            StabilityWarning, stacklevel=3)
