"""Which method runs which system: names, default steps, and the generators behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.adaptive import EXPLICIT, run_scipy
from neurosparse.dynamics.clock import Clock
from neurosparse.dynamics.euler import euler
from neurosparse.dynamics.fixed_step import run_fixed
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.noise import euler_maruyama, heun
from neurosparse.dynamics.plasticity import HebbianFlow
from neurosparse.dynamics.rk4 import rk4
from neurosparse.dynamics.stiff import IMPLICIT, run_stiff
from neurosparse.errors import InputError

Array = NDArray[np.float64]

_DETERMINISTIC = {"euler": euler, "rk4": rk4}
_STOCHASTIC = {"euler": euler_maruyama, "euler-maruyama": euler_maruyama,
               "rk4": heun, "heun": heun}

METHODS: tuple[str, ...] = tuple(sorted({*_DETERMINISTIC, *_STOCHASTIC, *EXPLICIT, *IMPLICIT}))

# steps that serve accuracy where stability would allow more
_CAP = {"euler": 0.01, "euler-maruyama": 0.01, "heun": 0.02, "rk4": 0.05}


def resolve(system: Any, method: str) -> str:
    """The method's own name for this system.

    A map has one method, its step. With noise, ``"rk4"`` is the stochastic Heun method and
    ``"euler"`` Euler-Maruyama.

    Raises
    ------
    InputError
        An unknown method, or one that cannot serve the system.
    """
    if method not in METHODS:
        raise InputError("simulate", found=f"method {method!r}",
                         expected="one of " + ", ".join(METHODS))
    if isinstance(system, Map):
        return "map"
    if isinstance(system, HebbianFlow):
        if method not in ("euler", "rk4"):
            raise InputError("simulate", found=f"method {method!r} for a plastic network",
                             expected="'rk4' or 'euler'")
        return method
    if system.temperature > 0.0:
        if method not in _STOCHASTIC:
            raise InputError("simulate", found=f"method {method!r} at temperature "
                             f"{system.temperature:g}", expected="'heun' or 'euler-maruyama'",
                             mend="Adaptive and stiff methods know nothing of white noise.")
        return {"rk4": "heun", "euler": "euler-maruyama"}.get(method, method)
    return {"euler-maruyama": "euler"}.get(method, method)


def default_step(system: Any, method: str) -> float:
    """A step that is stable with a margin of 2.5; for adaptive methods the record interval."""
    if isinstance(system, Map):
        return 1.0
    if method in EXPLICIT or method in IMPLICIT:
        return 0.1
    return float(min(_CAP[method], 0.4 * system.stable_step(method)))


def states(system: Any, x: Array, clock: Clock, *, method: str, limit: float, tolerance: float,
           rng: np.random.Generator) -> Iterator[tuple[float, Array]]:
    """Yield (time, state) at each record; one state out of range ends the run."""
    if method == "map":
        return run_fixed(lambda y, n: np.asarray(system.step(y, round(n))), x, clock, limit)
    if method in EXPLICIT:
        return run_scipy(system, x, clock, limit, EXPLICIT[method], tolerance)
    if method in IMPLICIT:
        return run_stiff(system, x, clock, limit, IMPLICIT[method], tolerance)
    if method in ("heun", "euler-maruyama"):
        return run_fixed(_STOCHASTIC[method](system, clock.dt, rng), x, clock, limit)
    return run_fixed(_DETERMINISTIC[method](system, clock.dt), x, clock, limit)
