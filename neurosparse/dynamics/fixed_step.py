"""The loop that all methods of fixed step share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.clock import Clock

Array = NDArray[np.float64]
Step = Callable[[Array, float], Array]

# a run that has blown up is noticed after so many steps, whatever is recorded
_LOOK_EVERY = 64


def run_fixed(step: Step, x: Array, clock: Clock, limit: float) -> Iterator[tuple[float, Array]]:
    """Yield (time, state) at each record, and at once where the state leaves [-limit, limit].

    Parameters
    ----------
    step
        ``step(x, t)`` returns the state one dt later, in a new array.
    x
        State [N] or [N, S] at time zero.
    clock
        The grid.
    limit
        Magnitude beyond which the run counts as diverged; the caller stops it.
    """
    done = 0
    for record in range(clock.records):
        target = clock.skip + record * clock.every
        while done < target:
            stop = min(target, done + _LOOK_EVERY)
            for index in range(done, stop):
                x = step(x, clock.time(index))
            done = stop
            # written so that NaN counts as outside
            if not np.abs(x).max() <= limit:
                yield clock.time(done), x
                return
        yield clock.time(done), x
