"""What the theories ask of a number and of an array."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError


def inside(operation: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf,
           *, open_low: bool = False, open_high: bool = False) -> float:
    """``value`` as a finite float in [low, high], or without the ends where they are open.

    Raises
    ------
    InputError
        It is outside, or no number.
    """
    number = _real(value)
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (math.isfinite(number) and above and below):
        left = "(" if open_low or math.isinf(low) else "["
        right = ")" if open_high or math.isinf(high) else "]"
        raise InputError(operation, found=f"{name} {value!r}",
                         expected=f"a finite number in {left}{low:g}, {high:g}{right}")
    return number


def whole(operation: str, name: str, value: Any, low: int) -> int:
    """``value`` as a whole number >= low.

    Raises
    ------
    InputError
        It is below, or no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
        raise InputError(operation, found=f"{name} {value!r}",
                         expected=f"a whole number >= {low}")
    return int(value)


def array(operation: str, name: str, value: Any) -> NDArray[np.float64]:
    """``value`` as a float64 array of its shape; NaN and infinity pass.

    Raises
    ------
    InputError
        It holds something else than real numbers, or its rows differ in length.
    """
    return np.asarray(_numbers(operation, name, value, "biuf"), dtype=np.float64)


def complex_array(operation: str, name: str, value: Any) -> NDArray[np.complex128]:
    """``value`` as a complex128 array of its shape.

    Raises
    ------
    InputError
        It holds something else than numbers, or its rows differ in length.
    """
    return np.asarray(_numbers(operation, name, value, "biufc"), dtype=np.complex128)


def _real(value: Any) -> float:
    """``value`` as a float; NaN where it is no real number."""
    # float() alone would read the text "2"
    if not isinstance(value, Real) and getattr(value, "shape", None) != ():
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _numbers(operation: str, name: str, value: Any, kinds: str) -> NDArray[Any]:
    try:
        found = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(operation, found=f"{name}: {str(error).splitlines()[0]}",
                         expected="an array of numbers") from error
    if found.dtype.kind not in kinds:
        raise InputError(operation, found=f"{name} {value!r:.60}" if found.size < 5
                         else f"{name} of type {found.dtype}", expected="an array of numbers")
    return found
