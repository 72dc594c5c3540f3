"""From a state to the critical point of the kinetic energy E = |f|²/2 below it.

First quasi-Newton descent of E; then Newton's method on f = 0, which ends at rounding level where
a fixed point is near; where none is, a trust-region Newton method on ∇E = 0.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.drive import drive_at
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.plasticity import HebbianFlow
from neurosparse.errors import InputError

Array = NDArray[np.float64]
Kind = Literal["fixed", "slow", "minimum E>0"]

# up to this size dense solves and eigenvalues are done unasked
DENSE_LIMIT = 2048


def at_rest(flow: Flow | Map | HebbianFlow, time: float, operation: str) -> Flow:
    """The gradient flow (γ = 1) of the same network with its drive held at ``time``, inside f.

    Raises
    ------
    InputError
        Not a Flow; the drive is outside f while γ ≠ 0: then E does not know it, and a zero of f is
        no fixed point of the flow; or the gain has no second derivative.
    """
    if not isinstance(flow, Flow):
        # an index counts eigenvalues of the vanilla flow, and the multipliers of a map are others
        mend = ("Flow(J, phi=phi, drive=I, drive_inside=True) has the map's fixed points; to an "
                "eigenvalue λ of its vanilla Jacobian belongs the map's multiplier 1 + δ λ."
                if isinstance(flow, Map) else "Take its frozen(): the couplings held.")
        raise InputError(operation, found=f"a {type(flow).__name__}", expected="a Flow", mend=mend)
    if flow.drive is not None and not flow.drive_inside and flow.gamma != 0.0:
        raise InputError(operation, found="a drive outside the energy with gamma not zero",
                         expected="no drive, or drive_inside=True",
                         mend="Only a drive inside f moves the fixed points.")
    if flow.phi.curvature is None:
        raise InputError(operation, found=f"gain {flow.phi.name!r} without second derivative",
                         expected="(φ, φ', φ'')")
    held = drive_at(flow.drive, time, np.zeros(flow.size))
    return Flow(flow.J, 1.0, flow.phi, drive=held, drive_inside=True)


def descend(rest: Flow, x: Array, tolerance: float) -> tuple[Array, Kind]:
    """The critical point below ``x``, and what it is.

    Parameters
    ----------
    rest
        From :func:`at_rest`.
    x
        State [N].
    tolerance
        Largest |f_i| of a fixed point; 100 times it, largest |∂_i E| of a minimum.

    Returns
    -------
    tuple
        (state [N], ``"fixed"`` with f = 0, ``"minimum E>0"`` with ∇E = 0 and no direction down, or
        ``"slow"`` where neither was reached).
    """
    from scipy.optimize import minimize

    size = rest.size
    found = minimize(rest.energy, x, jac=rest.gradient, method="L-BFGS-B",
                     options={"maxiter": 4000, "maxfun": 8000, "maxcor": 20, "ftol": 0.0,
                              "gtol": min(1e-8, tolerance)})
    point = np.asarray(found.x)
    point = _newton(rest, point, tolerance)
    if np.abs(rest.speed(point)).max() <= tolerance:
        return point, "fixed"

    def curvature(at: Array, v: Array) -> Array:
        return -rest.linearise(at).matmat(v)

    found = minimize(rest.energy, point, jac=rest.gradient, hessp=curvature, method="trust-ncg",
                     options={"gtol": tolerance * 10.0, "maxiter": 400})
    point = np.asarray(found.x)
    if np.abs(rest.speed(point)).max() <= tolerance:
        return point, "fixed"
    flat = np.abs(rest.gradient(point)).max() <= 100.0 * tolerance
    if flat and (size > DENSE_LIMIT or _no_way_down(rest, point)):
        return point, "minimum E>0"
    return point, "slow"


def _no_way_down(rest: Flow, x: Array) -> bool:
    lowest, highest = np.linalg.eigvalsh(-rest.jacobian(x))[[0, -1]]
    return bool(lowest >= -1e-7 * highest)


def _newton(rest: Flow, x: Array, tolerance: float) -> Array:
    """Newton's method on f = 0, as long as every step lowers |f|."""
    vanilla = Flow(rest.J, 0.0, rest.phi, drive=rest.drive, drive_inside=True)
    f = vanilla.speed(x)
    for _ in range(12):
        if np.abs(f).max() <= 1e-3 * tolerance:
            break
        step = _solve(vanilla, x, f)
        if step is None:
            break
        moved = x - step
        next_f = vanilla.speed(moved)
        if not np.linalg.norm(next_f) < 0.9 * np.linalg.norm(f):
            break
        x, f = moved, next_f
    return x


def _solve(vanilla: Flow, x: Array, f: Array) -> Array | None:
    """∂f⁻¹ f, dense up to the limit and by GMRES beyond; None where it fails."""
    if vanilla.size <= DENSE_LIMIT:
        try:
            return np.asarray(np.linalg.solve(vanilla.jacobian(x), f))
        except np.linalg.LinAlgError:
            return None
    from scipy.sparse.linalg import LinearOperator, gmres

    tangent: Any = vanilla.linearise(x)
    operator = LinearOperator((x.size, x.size), matvec=tangent.matmat, dtype=np.float64)
    step, failed = gmres(operator, f, rtol=1e-6, restart=60, maxiter=5)
    return None if failed else np.asarray(step)


def vanilla_spectrum(rest: Flow, x: Array) -> NDArray[np.complex128]:
    """Eigenvalues of ∂f = -1 + J φ'(x) [N], by falling real part; O(N³)."""
    vanilla = Flow(rest.J, 0.0, rest.phi, drive=rest.drive, drive_inside=True)
    values = np.linalg.eigvals(vanilla.jacobian(x)).astype(np.complex128)
    return values[np.argsort(-values.real, kind="stable")]
