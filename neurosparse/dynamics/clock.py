"""The times of a run: steps, and which of them are recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def make_clock(duration: float, transient: float, dt: float, record_every: float | None) -> Clock:
    """The grid for a run of ``duration``, of which the first ``transient`` is not recorded.

    Raises
    ------
    InputError
        A time that is not a positive number, a duration that does not exceed the transient, or a
        record interval that is no multiple of the step.
    """
    operation = "simulate"
    for name, value in (("dt", dt), ("duration", duration)):
        if not (isinstance(value, (int, float, np.number)) and 0 < value < math.inf):
            raise InputError(operation, found=f"{name} {value!r}", expected="a finite time > 0")
    if not (isinstance(transient, (int, float, np.number)) and 0 <= transient < math.inf):
        raise InputError(operation, found=f"transient {transient!r}", expected="a finite time >= 0")
    if duration <= transient:
        raise InputError(operation, found=f"duration {duration:g} and transient {transient:g}",
                         expected="a duration longer than the transient, which is part of it")
    every = 1
    if record_every is not None:
        if not 0 < record_every < math.inf:
            raise InputError(operation, found=f"record_every {record_every!r}",
                             expected="a finite time > 0")
        every = round(record_every / dt)
        if every < 1 or abs(every * dt - record_every) > 1e-6 * record_every:
            raise InputError(operation, found=f"record_every {record_every:g} with dt {dt:g}",
                             expected="a whole multiple of dt")
    # 1e-9: a quotient that is whole up to rounding must not gain a step
    skip = math.ceil(transient / dt - 1e-9)
    total = math.ceil(duration / dt - 1e-9)
    return Clock(float(dt), skip, every, (total - skip) // every + 1)
