"""The propagators of Flow and Map: which file carries what."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics import Flow, Map, StabilityWarning
from neurosparse.errors import InputError
from neurosparse.lyapunov.multistep import ORDERS, MultistepPropagator
from neurosparse.lyapunov.network_block import NetworkPropagator
from neurosparse.lyapunov.network_regulated import TABLEAUS, RegulatedPropagator
from neurosparse.lyapunov.network_vanilla import VanillaPropagator
from neurosparse.lyapunov.propagator import propagator, refuse_options

Array = NDArray[np.float64]

DTYPES = ("float64", "float32")
#: The bias of Runge-Kutta 4 at this step is 1e-5 at g = 3 (docs/lyapunov.md); faster networks get
#: less, by their stable step.
DEFAULT_STEP = 0.2
METHODS = (*TABLEAUS, *ORDERS)


def _check_dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise InputError("spectrum", found=f"dtype={dtype!r}", expected=" or ".join(DTYPES))


def _check_start(x0: Array | None, size: int) -> None:
    if x0 is not None and (np.shape(x0) != (size,) or not np.isfinite(x0).all()):
        raise InputError("spectrum", found=f"x0 of shape {np.shape(x0)}",
                         expected=f"{size} finite numbers")


@propagator.register
def _(
    system: Flow,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> NetworkPropagator:
    method = "rk4" if method is None else method
    _check_dtype(dtype)
    _check_start(x0, system.size)
    if method not in METHODS:
        raise InputError("spectrum of a flow", found=f"method={method!r}",
                         expected="one of " + ", ".join(METHODS))
    if method in ORDERS and system.gamma != 0.0:
        raise InputError("spectrum of a flow", found=f"method={method!r} at gamma={system.gamma:g}",
                         expected="rk4 or euler where gamma is not zero")
    # Multistep methods have no such bound in closed form; theirs is below Euler's.
    stable = system.stable_step("euler" if method in ORDERS else method)
    if dt is None:
        dt = min(DEFAULT_STEP, 0.5 * stable)
    if not (math.isfinite(dt) and dt > 0):
        raise InputError("spectrum of a flow", found=f"dt={dt!r}", expected="a step above 0")
    if dt > stable:
        warnings.warn(
            f"dt={dt:g} is outside the stable range of {method} (up to {stable:.3g}): "
            "exponents may be those of the integrator", StabilityWarning, stacklevel=3,
        )  # fmt: skip
    if system.gamma != 0.0:
        return RegulatedPropagator(system, method, dt, seed, x0, dtype)
    if method in ORDERS:
        return MultistepPropagator(system, method, dt, seed, x0, dtype)
    return VanillaPropagator(system, method, dt, seed, x0, dtype)


@propagator.register
def _(
    system: Map,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> NetworkPropagator:
    refuse_options("a map", method=method, dt=dt)
    _check_dtype(dtype)
    _check_start(x0, system.size)
    return VanillaPropagator(system, "euler", 1.0, seed, x0, dtype)
