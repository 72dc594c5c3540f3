"""The times of a run: steps, and which of them are recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError


@dataclass(frozen=True)
class Clock:
    """A grid of steps.

    Attributes
    ----------
    dt
        Time of one step.
    skip
        Steps before the first record.
    every
        Steps from one record to the next.
    records
        Number of records, the first at step ``skip``.
    """

    dt: float
    skip: int
    every: int
    records: int

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.skip + self.every * (self.records - 1)

    def time(self, step: int) -> float:
        """Time of a step: a product, so that no rounding adds up."""
        return step * self.dt

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the records [T]."""
        steps = self.skip + self.every * np.arange(self.records, dtype=np.float64)
        return np.asarray(steps * self.dt)


def check_time(operation: str, name: str, value: Any, *, zero: bool = False) -> float:
    """Return ``value`` as a float if it is a finite time above zero (or zero, where that may be).

    Raises
    ------
    InputError
        It is not.
    """
    good = isinstance(value, (int, float, np.number)) and 0 <= value < math.inf
    if not good or (value == 0 and not zero):
        raise InputError(operation, found=f"{name} {value!r}",
                         expected=f"a finite time {'>=' if zero else '>'} 0")
    return float(value)


def make_clock(duration: float, transient: float, dt: float | None, record_every: float | None,
               longest: float = math.inf) -> Clock:
    """The grid for a run of ``duration``, of which the first ``transient`` is not recorded.

    Parameters
    ----------
    duration, transient
        Times of the whole run and of its first part.
    dt
        Step. None: the longest one up to ``longest`` that fits the other times.
    record_every
        Time from one record to the next; every step if None.
    longest
        Only read where dt is None.

    Raises
    ------
    InputError
        A time that is not a positive number, a duration that does not exceed the transient, a
        record interval or a transient that is no multiple of the step, or a rest of the run that
        is no multiple of the record interval. Each up to rounding, 1e-9.
    """
    operation = "simulate"
    if dt is not None:
        dt = check_time(operation, "dt", dt)
    duration = check_time(operation, "duration", duration)
    transient = check_time(operation, "transient", transient, zero=True)
    if record_every is not None:
        record_every = check_time(operation, "record_every", record_every)
    if duration <= transient:
        raise InputError(operation, found=f"duration {duration:g} and transient {transient:g}",
                         expected="a duration longer than the transient, which is part of it")
    if dt is None:
        dt = _fitted(duration, transient, record_every, longest)
    interval = dt if record_every is None else record_every
    if not _whole(interval / dt, 1):
        raise InputError(operation, found=f"record_every {interval:g} with dt {dt:g}",
                         expected="a whole multiple of dt")
    skip = transient / dt
    if not _whole(skip):
        raise InputError(operation, found=f"transient {transient:.10g} with dt {dt:.10g}",
                         expected="a whole number of steps",
                         mend=_take("transient", math.floor(skip) * dt, math.ceil(skip) * dt))
    _check_rest(duration, transient, interval, _whole(duration / dt))
    return Clock(dt, round(skip), round(interval / dt),
                 round((duration - transient) / interval) + 1)


def _whole(number: float, least: int = 0) -> bool:
    """Whether a quotient of times is ``least`` or a larger whole number, up to their rounding."""
    near = round(number)
    return near >= least and abs(number - near) <= 1e-9 * max(1.0, number)


def _fitted(duration: float, transient: float, record_every: float | None,
            longest: float) -> float:
    """The longest step that divides records and transient, looked for down to ``longest`` / 2.

    Where there is none it divides the records alone, or the whole run if each step is recorded.
    """
    interval = duration - transient if record_every is None else record_every
    # 1e-9: a quotient that is whole up to rounding must not gain a step
    least = max(1, math.ceil(interval / longest - 1e-9))
    for count in range(least, 2 * least + 1):
        if _whole(transient / interval * count):
            return interval / count
    if record_every is None:
        return duration / max(1, math.ceil(duration / longest - 1e-9))
    return interval / least


def _check_rest(duration: float, transient: float, interval: float, steps: bool) -> None:
    """Refuse a rest that is no whole number of intervals; ``steps``: the duration is one of dt."""
    count = (duration - transient) / interval
    if _whole(count, 1):
        return
    below = math.floor(count)
    mend = _take("duration", *(transient + k * interval for k in (below, below + 1) if k > 0))
    # another transient helps only where the end of the run is a step
    others = [duration - k * interval for k in (below + 1, below) if k > 0]
    others = [max(0.0, other) for other in others if other > -1e-9 * duration]
    if transient > 0.0 and steps and others:
        mend += " Or " + _take("transient", *others).lower()
    raise InputError("simulate", found=f"duration {duration:.10g} with transient {transient:.10g} "
                     f"and records every {interval:.10g}",
                     expected="a whole number of record intervals after the transient", mend=mend)


def _take(name: str, *values: float) -> str:
    return f"Take {name} " + " or ".join(f"{value:.10g}" for value in values) + "."
