"""SciPy's solvers of adaptive step behind one generator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.clock import Clock

Array = NDArray[np.float64]

#: name in ``simulate`` -> class in ``scipy.integrate``
EXPLICIT = {"adaptive": "DOP853", "dop853": "DOP853", "rk45": "RK45"}


def run_scipy(flow: Any, x: Array, clock: Clock, limit: float, solver: str, tolerance: float,
              **options: Any) -> Iterator[tuple[float, Array]]:
    """Yield (time, state) at each record from the solver's own dense output.

    The order of the interpolant is the solver's (7 for DOP853, 4 for RK45). A solver that gives up
    yields a state of NaN, which the caller reads as divergence.
    """
    import scipy.integrate

    shape, times = x.shape, clock.times

    def right(t: float, flat: Array) -> Array:
        return np.asarray(flow.drift(flat.reshape(shape), t)).reshape(-1)

    run: Any = getattr(scipy.integrate, solver)(
        right, 0.0, x.reshape(-1), max(float(times[-1]), clock.dt), rtol=max(tolerance, 1e-13),
        atol=tolerance, max_step=_longest(flow, clock), **options)
    record = 0
    if times[0] == 0.0:
        yield 0.0, x
        record = 1
    while record < times.size:
        run.step()
        if run.status == "failed" or not np.abs(run.y).max() <= limit:
            yield float(run.t), np.full(shape, np.nan)
            return
        between = run.dense_output()
        while record < times.size and times[record] <= run.t:
            yield float(times[record]), np.asarray(between(times[record])).reshape(shape)
            record += 1


def _longest(flow: Any, clock: Clock) -> float:
    """A step must not jump over what a function of time does between two records."""
    return clock.dt * clock.every if callable(flow.drive) else np.inf
