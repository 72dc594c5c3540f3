"""SciPy's solvers of adaptive step behind one generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.clock import Clock
from neurosparse.dynamics.drive import held_step

Array = NDArray[np.float64]

#: name in ``simulate`` -> class in ``scipy.integrate``
EXPLICIT = {"adaptive": "DOP853", "dop853": "DOP853", "rk45": "RK45"}


def run_scipy(flow: Any, x: Array, clock: Clock, limit: float, solver: str, tolerance: float,
              *, jacobian: bool = False) -> Iterator[tuple[float, Array]]:
    """Yield (time, state) at each record from the solver's own dense output.

    The order of the interpolant is the solver's (7 for DOP853, 4 for RK45). A held input is solved
    interval by interval, each with its own value and a solver that begins anew: no step sees over a
    jump. A solver that gives up yields a state of NaN, which the caller reads as divergence.
    ``jacobian``: whether the solver is given the flow's exact one.
    """
    import scipy.integrate

    make: Any = getattr(scipy.integrate, solver)
    shape, times, y = x.shape, clock.times, x.reshape(-1)
    record = 0
    if times[0] == 0.0:
        yield 0.0, x
        record = 1
    for begin, end, held in _pieces(flow, float(times[-1])):
        right = _Right(flow, shape, begin if held else None)
        options = {"jac": right.jacobian} if jacobian else {}
        run = make(right, begin, y, end, rtol=max(tolerance, 1e-13), atol=tolerance,
                   max_step=_longest(flow, clock), **options)
        while run.status == "running":
            run.step()
            if run.status == "failed" or not np.abs(run.y).max() <= limit:
                yield float(run.t), np.full(shape, np.nan)
                return
            between = run.dense_output()
            while record < times.size and times[record] <= run.t:
                yield float(times[record]), np.asarray(between(times[record])).reshape(shape)
                record += 1
        y = run.y


class _Right:
    """The drift, and its Jacobian, as SciPy calls them; ``begin``: where a held input is read."""

    def __init__(self, flow: Any, shape: tuple[int, ...], begin: float | None) -> None:
        self.flow, self.shape, self.begin = flow, shape, begin

    def __call__(self, t: float, flat: Array) -> Array:
        at = t if self.begin is None else self.begin
        return np.asarray(self.flow.drift(flat.reshape(self.shape), at)).reshape(-1)

    def jacobian(self, t: float, y: Array) -> Array:
        return np.asarray(self.flow.jacobian(y, t if self.begin is None else self.begin))


def _pieces(flow: Any, last: float) -> Iterator[tuple[float, float, bool]]:
    """Begin and end of what a solver may run through at once, and whether the input is held."""
    step = held_step(flow.drive)
    if step is None:
        yield 0.0, last, False
        return
    # 1e-6: as where a held input is read
    count = max(1, math.ceil(last / step - 1e-6))
    for n in range(count):
        yield n * step, (n + 1) * step if n < count - 1 else last, True


def _longest(flow: Any, clock: Clock) -> float:
    """A step must not jump over what a function of time does between two records."""
    return clock.dt * clock.every if callable(flow.drive) else np.inf
