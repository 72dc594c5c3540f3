"""Which synapses exist: independent Bernoulli masks drawn by their gaps, not entry by entry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def bernoulli_positions(total: int, density: float, rng: np.random.Generator) -> Indices:
    """Positions of the successes among ``total`` independent trials, ascending.

    The gaps between successes are geometric, so the cost is the number of successes and a mask of
    10^10 entries is never made.

    Parameters
    ----------
    total
        Number of trials.
    density
        Probability of a success, in (0, 1].
    """
    if total == 0:
        return np.empty(0, dtype=np.int64)
    if density >= 1.0:
        return np.arange(total, dtype=np.int64)
    found: list[Indices] = []
    last = -1
    while last < total:
        left = (total - 1 - last) * density
        count = int(left + 4.0 * np.sqrt(left + 1.0)) + 8
        gaps = rng.geometric(density, size=count)
        # one gap past the end is as good as any: capped, so that the sum cannot overflow
        positions = last + np.cumsum(np.minimum(gaps, total + 1), dtype=np.int64)
        found.append(positions)
        last = int(positions[-1])
    merged = np.concatenate(found)
    return merged[merged < total]


def pair_of(position: Indices, n: int) -> tuple[Indices, Indices]:
    """Rows and columns (i < j) of positions counted along the upper triangle, row by row."""
    rows = np.arange(n, dtype=np.int64)
    start = rows * (2 * n - rows - 1) // 2
    i = np.searchsorted(start, position, side="right") - 1
    # empty rows (the last) share their start with the end; the search lands on the last of them
    i = np.minimum(i, n - 2) if n > 1 else i
    return i, position - start[i] + i + 1
