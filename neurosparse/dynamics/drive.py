"""Input to a network: none, constant, or a function of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]
Drive: TypeAlias = float | Array | Callable[[float], Any] | None


@dataclass(frozen=True)
class StepDrive:
    """A map's input as the caller's function of the step, which is always a whole number.

    Times reach it as floats where a map shares its loop with the flows.
    """

    function: Callable[[int], Any]

    def __call__(self, n: float) -> Any:
        return self.function(round(n))


def held_step(drive: Any) -> float | None:
    """How long an input is constant from each multiple of this time on.

    None for one that may move at any time. An input says so by an attribute ``held_step``. A method
    that carries the state over one step must then read it at the step's begin alone: at the end the
    next value is there already.
    """
    return getattr(drive, "held_step", None)


def check_drive(drive: Any, size: int, operation: str) -> Drive:
    """Return the input as None, a float64 array [N], or the caller's function of time.

    Raises
    ------
    InputError
        Of another shape than [N] or a single number, or not finite; of a function, its value at
        time zero is looked at.
    """
    if drive is None:
        return None
    value = drive(0.0) if callable(drive) else drive
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(operation, found=f"drive {drive!r}",
                         expected="None, numbers [N], or a function of time") from error
    if array.shape not in ((), (size,)):
        raise InputError(operation, found=f"drive of shape {array.shape}",
                         expected=f"one number or [{size}]")
    if not np.isfinite(array).all():
        raise InputError(operation, found="a drive that is NaN or infinite",
                         expected="finite numbers")
    if callable(drive):
        return drive  # type: ignore[no-any-return]
    return np.ascontiguousarray(np.broadcast_to(array, (size,)))


def drive_at(drive: Drive, t: float, like: Array) -> Any:
    """The input at time ``t``, in a shape that adds to states [N] or [N, S]; None stays None."""
    if drive is None:
        return None
    value = drive(t) if callable(drive) else drive
    if like.ndim == 2 and np.ndim(value) == 1:
        return np.asarray(value)[:, None]
    return value
