"""Exponents of the tail of a spectrum: the Hill estimator, and where the tail begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError

Floats = NDArray[np.float64]
TAILS = ("peak", "median")


def hill_exponent(values: ArrayLike, start: int) -> float:
    """Exponent alpha of a density ``p(x) ~ x^-alpha`` above the value at ``start`` (Hill 1975).

    ``alpha = 1 + n / sum_i ln(x_i / x_start)`` over the n values from ``start`` on in increasing
    order, the one at ``start`` with them.

    Parameters
    ----------
    values : positive values in increasing order
    start
        Index of the smallest value of the tail.

    Returns
    -------
    float
        ``inf`` where all values of the tail are equal.
    """
    tail = np.asarray(values, float)[start:]
    growth = float(np.sum(np.log(tail / tail[0])))
    return 1.0 + len(tail) / growth if growth > 0 else float("inf")


def tail_distance(values: ArrayLike, start: int, alpha: float) -> float:
    """Kolmogorov-Smirnov distance of the tail from the power law of exponent ``alpha``."""
    tail = np.asarray(values, float)[start:]
    if not np.isfinite(alpha):
        return 1.0
    fitted = 1.0 - (tail / tail[0]) ** (1.0 - alpha)
    return float(np.max(np.abs(fitted - np.arange(len(tail)) / len(tail))))


def _peak(values: Floats, bins: int = 100) -> float:
    """Where the histogram of the logarithms is highest (left edge of the bin)."""
    logs = np.log10(values)
    counts, edges = np.histogram(logs, bins)
    return float(10 ** edges[int(np.argmax(counts))])


def tail_exponent(values: ArrayLike, tail: str = "peak") -> float:
    """Tail exponent of a spectrum, as AlphaPruning measures it (arXiv 2410.10912, section 3).

    Parameters
    ----------
    values : eigenvalues of ``W^T W``
        Those of at most 1e-12 times the largest are left out: rounding, or a rank that is short.
    tail
        ``"peak"``: the tail begins near the peak of the density of ln x (the "fix-finger" method):
        of the eigenvalues from 0.95 to 1.5 times the peak, the one with the least
        Kolmogorov-Smirnov distance. ``"median"``: at the median eigenvalue.

    Raises
    ------
    InputError
        Another word for ``tail``, or fewer than two positive values.
    """
    if tail not in TAILS:
        raise InputError("measure a tail", found=f"tail={tail!r}",
                         expected=" or ".join(map(repr, TAILS)))
    every = np.sort(np.asarray(values, float))
    positive = every[every > 1e-12 * max(float(every[-1]), 0.0)] if len(every) else every
    if len(positive) < 2:
        raise InputError("measure a tail", found=f"{len(positive)} positive eigenvalues",
                         expected="at least two")
    if tail == "median":
        return hill_exponent(positive, len(positive) // 2)
    peak = _peak(positive)
    inside = np.flatnonzero((positive[:-1] >= 0.95 * peak) & (positive[:-1] <= 1.5 * peak))
    starts = inside if len(inside) else np.array([len(positive) // 2])
    fits = [(hill_exponent(positive, int(start)), int(start)) for start in starts]
    return min(fits, key=lambda fit: tail_distance(positive, fit[1], fit[0]))[0]
