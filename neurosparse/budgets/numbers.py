"""Numbers from outside: NumPy's become Python's, which files can hold; what is none is refused."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from neurosparse.errors import BudgetError


def plain(value: Any) -> Any:
    """Python's number for one of NumPy's (``np.float32(5)``); anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold, and no truth value."""
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max)


def number_of(operation: str, name: str, value: Any, expected: str = "a finite number") -> float:
    """Return a finite number as a float.

    Raises
    ------
    BudgetError
        Text, nothing, a truth value, nan or infinity.
    """
    found = plain(value)
    if not is_number(found):
        raise BudgetError(operation, found=f"{name} {found!r}", expected=expected)
    return float(found)
