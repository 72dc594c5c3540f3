"""How long a run goes on: a duration, or until the error is what was asked for."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from neurosparse.lyapunov.driver import Run
from neurosparse.lyapunov.statistics import correlated_mean
from neurosparse.progress import Progress, silent

_FEWEST = 32  # rows of the log before a precision is believed
_UNBOUNDED = 1 << 60


class Status(Enum):
    """How a run ended."""

    CONVERGED = "converged"  #: the precision that was asked for is reached
    FINISHED = "finished"  #: the duration is done, no precision was asked for
    NOT_CONVERGED = "not converged"  #: the longest duration is done, the precision is not reached
    DIVERGED = "diverged"  #: state or frame is not finite; the exponents are NaN
    COLLAPSED = "collapsed"  #: a direction vanished: its exponent is -inf
    INTERRUPTED = "interrupted"  #: Ctrl-C; what was done is there, and can be extended


@dataclass(frozen=True)
class Target:
    """When to stop: at ``least`` this time; until ``precision``; at ``most`` this time."""

    least: float
    most: float
    precision: float | None = None


def measure(run: Run, target: Target, progress: Progress = silent) -> Status:
    """Carry on until the target is met; the time counts from the start of the run."""
    least = max(1, _blocks(target.least, run.block_time))
    most = max(least, _blocks(target.most, run.block_time)) if target.precision else least
    shown = most if most < _UNBOUNDED else 0
    with interruptible() as interrupted:

        def between() -> bool:
            progress("spectrum", min(run.log.count, shown), shown)
            return interrupted()

        goal, reached = least, False
        while not run.over and not interrupted():
            run.go(goal - run.log.count, between)
            if run.log.count < goal or target.precision is None:
                break
            error = error_now(run)
            reached = error <= target.precision
            if reached or goal >= most:
                break
            growth = float(np.clip((error / target.precision) ** 2, 1.1, 2.0))
            goal = min(most, math.ceil(goal * growth))
        if not interrupted():
            progress("spectrum", shown, shown)
        return _status(run, target, reached, interrupted())


def _blocks(duration: float, block_time: float) -> int:
    if math.isinf(duration):
        return _UNBOUNDED
    return math.ceil(duration / block_time - 1e-9)


def _status(run: Run, target: Target, reached: bool, interrupted: bool) -> Status:
    if run.diverged:
        return Status.DIVERGED
    if interrupted and not reached:
        return Status.INTERRUPTED
    if np.isneginf(run.log.total).any():
        return Status.COLLAPSED
    if target.precision is None:
        return Status.FINISHED
    return Status.CONVERGED if reached else Status.NOT_CONVERGED


def error_now(run: Run) -> float:
    """Largest standard error of the exponents so far, ``inf`` while it cannot be told.

    A record that still drifts has an error that is larger than its scatter says: a sixth of the
    difference between its halves (three standard errors of it) counts too.
    """
    rows = run.log.rows
    fine = np.isfinite(run.log.total)
    if len(rows) < _FEWEST or not fine.any():
        return float("inf")
    rates = rows[:, fine] / (run.log.merged * run.block_time)
    half = len(rates) // 2
    drift = np.abs(rates[:half].mean(axis=0) - rates[half:].mean(axis=0)) / 6
    error: float = np.maximum(correlated_mean(rates).stderr, drift).max()
    return float(error)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag, so that a run stops between two blocks; the second one
    is a KeyboardInterrupt as ever. Elsewhere than in the main thread nothing is caught.
    """
    caught = False

    def handler(number: int, frame: Any) -> None:
        nonlocal caught
        caught = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: caught
    finally:
        signal.signal(signal.SIGINT, before)
