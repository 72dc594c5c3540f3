"""Evaluate configurations on any executor; what a fitness does wrong is an answer too."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import Any

from neurosparse.sweeps.pool import Submits, lost_worker

Outcome = tuple[float | None, str | None]
_LONGEST = 300


def measured(fitness: Callable[..., Any], argument: Any, fidelity: int | None) -> Outcome:
    """Call a fitness once, where the executor runs it.

    Parameters
    ----------
    fidelity
        Passed on by name; None where the fitness takes none.

    Returns
    -------
    value, reason
        One of them None. A fitness that raises, or returns no finite number, has failed.
    """
    try:
        found = fitness(argument) if fidelity is None else fitness(argument, fidelity=fidelity)
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"[:_LONGEST]
    try:
        value = float(found)
    except Exception:
        return None, f"returned a {type(found).__name__}, not a number"
    return (value, None) if math.isfinite(value) else (None, f"returned {value}")


def outcomes(fitness: Callable[..., Any], arguments: Sequence[Any], fidelity: int | None,
             executor: Submits | None) -> Generator[Outcome]:
    """Evaluate all, in any order; yield in the order given, so that runs repeat.

    Raises
    ------
    BrokenExecutor, CancelledError, or what dask.distributed has for them
        The executor lost its workers: no fault of the configuration.
    """
    if executor is None:  # one after the other, so that each is written down at once
        for argument in arguments:
            yield measured(fitness, argument, fidelity)
        return
    futures: list[Future[Any]] = []
    try:
        futures.extend(executor.submit(measured, fitness, argument, fidelity)
                       for argument in arguments)
        for future in futures:
            yield future.result()
    except Exception as error:
        if lost_worker(error):
            error.add_note("neurosparse: in a search; what was finished is in the archive")
        raise
    finally:
        for future in futures:
            future.cancel()
