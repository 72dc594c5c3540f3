"""The propagators of Flow and Map: which file carries what."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics import Flow, Map, StabilityWarning
from neurosparse.errors import InputError
from neurosparse.lyapunov.multistep import ORDERS, MultistepPropagator, longest_step
from neurosparse.lyapunov.network_block import NetworkPropagator
from neurosparse.lyapunov.network_regulated import TABLEAUS, RegulatedPropagator
from neurosparse.lyapunov.network_vanilla import VanillaPropagator
from neurosparse.lyapunov.propagator import propagator, refuse_options

Array = NDArray[np.float64]

DTYPES = ("float64", "float32")
#: The longest step that is taken unasked (docs/lyapunov.md says what it costs in accuracy); faster
#: networks get less.
DEFAULT_STEP = 0.2
METHODS = (*TABLEAUS, *ORDERS)


def stable_step(system: Flow, method: str) -> float:
    """``Flow.stable_step``, of the multistep methods too."""
    if method in ORDERS:
        return longest_step(ORDERS[method], *system.extent)
    return system.stable_step(method)


def default_step(system: Flow, method: str) -> float:
    """The step that is taken where none is given.

    Half of the stable one, nine tenths for multistep methods. Where γ is not zero the fastest
    exponents come near the bound of the rate, so that Runge-Kutta 4 resolves it: (1/2)⁴ / 120,
    5e-4 of such an exponent is off. Euler's is as short as that of ``simulate``.
    """
    stable = stable_step(system, method)
    if method in ORDERS:  # measured: docs/benchmarks.md
        return min(DEFAULT_STEP, 0.9 * stable)
    if method == "euler":
        return min(0.01, 0.4 * stable)
    if system.gamma != 0.0:
        return min(DEFAULT_STEP, 0.5 * stable, 0.5 / system.rate)
    return min(DEFAULT_STEP, 0.5 * stable)


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
    if method in ORDERS and system.temperature:
        raise InputError("spectrum of a flow", found=f"method={method!r} with noise",
                         expected="rk4 or euler where the temperature is not zero",
                         mend="Multistep methods would carry kicks of the past on.")
    stable = stable_step(system, method)
    if dt is None:
        dt = default_step(system, method)
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
