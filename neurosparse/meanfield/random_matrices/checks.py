"""One check of a number's range for the formulas of this folder."""

from __future__ import annotations

import math

from neurosparse.errors import InputError


def inside(operation: str, name: str, value: float, low: float, high: float = math.inf, *,
           open_low: bool = False, open_high: bool = False) -> float:
    """``value`` as a float in [low, high], or without the ends where they are open.

    Raises
    ------
    InputError
        It is outside, or no number.
    """
    number = float(value)
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (math.isfinite(number) and above and below):
        left, right = "(" if open_low else "[", ")" if open_high or math.isinf(high) else "]"
        raise InputError(operation, found=f"{name} {value!r}",
                         expected=f"a finite number in {left}{low:g}, {high:g}{right}")
    return number
