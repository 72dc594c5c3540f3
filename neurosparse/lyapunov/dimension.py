"""Numbers that follow from a spectrum: Kaplan-Yorke dimension and entropy rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kaplan_yorke(exponents: Any) -> float:
    """Kaplan-Yorke (Lyapunov) dimension of an attractor.

    Parameters
    ----------
    exponents
        [k], any order, the k largest of a spectrum.

    Returns
    -------
    float
        ``j + (sum of the first j) / |exponent j + 1|`` with the largest j whose sum is not
        negative; 0 if the first is negative; NaN if the k exponents given do not reach that far
        (their sum is still positive) or one is NaN. With the full spectrum of a system that
        expands all volumes it is NaN as well: ask ``len(exponents)`` for the trivial answer.

    Examples
    --------
    >>> round(kaplan_yorke([0.9056, 0.0, -14.5723]), 4)
    2.0621
    """
    ordered = _descending(exponents)
    if np.isnan(ordered).any() or len(ordered) == 0:
        return float("nan")
    reached = dimension_index(ordered)
    if reached == len(ordered):
        return float(reached) if float(np.sum(ordered)) == 0.0 else float("nan")
    total = float(np.sum(ordered[:reached]))
    return reached + total / abs(float(ordered[reached]))


def dimension_index(ordered: Array) -> int:
    """Largest j for which the sum of the first j exponents (descending) is not negative."""
    with np.errstate(invalid="ignore"):
        sums = np.cumsum(ordered)
    below = np.flatnonzero(~(sums >= 0))
    return int(below[0]) if len(below) else len(ordered)


def entropy_rate(exponents: Any) -> float:
    """Sum of the positive exponents (Pesin's formula; an upper bound in general), nats per time."""
    ordered = _descending(exponents)
    return float(np.sum(ordered[ordered > 0])) if not np.isnan(ordered).any() else float("nan")


def _descending(exponents: Any) -> Array:
    found: Array = np.sort(np.asarray(exponents, dtype=np.float64).ravel())[::-1]
    return found
