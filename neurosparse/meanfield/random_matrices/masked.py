"""Singular values of masked Gaussian matrices: the Marchenko-Pastur law."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.meanfield.checks import array, inside


def masked_edges(rows: int, columns: int, *, sparsity: float = 0.0, gain: float = 1.0
                 ) -> tuple[float, float]:
    """Smallest and largest singular value of a masked Gaussian matrix in the large limit.

    g√(1-s) |1 ∓ √(m/n)| for entries of variance g²/n, each kept with probability 1-s: only the
    variance counts, so a mask does what a smaller gain does (Marchenko and Pastur 1967; universal
    while s stays away from one). Finite matrices deviate by a relative N^(-2/3).

    Parameters
    ----------
    rows, columns
        m and n. With m > n the n nonzero singular values are meant.
    sparsity
        s in [0, 1].
    gain
        g.

    Raises
    ------
    InputError
        A value out of its range.
    """
    scale, ratio = _scale("masked_edges", rows, columns, sparsity, gain)
    return scale * abs(1 - math.sqrt(ratio)), scale * (1 + math.sqrt(ratio))


def masked_density(value: ArrayLike, rows: int, columns: int, *, sparsity: float = 0.0,
                   gain: float = 1.0) -> NDArray[np.float64]:
    """Density of the min(m, n) nonzero singular values, normalised to one.

    √((b² - x²)(x² - a²)) / (π v min(m/n, 1) x) between the edges a and b, v = g²(1-s).

    Raises
    ------
    InputError
        A value out of its range.
    """
    scale, ratio = _scale("masked_density", rows, columns, sparsity, gain)
    low, high = masked_edges(rows, columns, sparsity=sparsity, gain=gain)
    x = array("masked_density", "value", value)
    if scale == 0:
        return np.zeros(x.shape)
    root = np.sqrt(np.maximum((high - x) * (high + x) * (x - low) * (x + low), 0))
    norm = math.pi * scale**2 * min(ratio, 1.0)
    square = low == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        # For a square matrix x cancels and the density is largest at zero.
        tall = np.sqrt(np.maximum((high - x) * (high + x), 0)) if square else root / x
    return np.where((x >= low) & (x <= high) & (x >= 0), tall / norm, 0.0)


def _scale(operation: str, rows: int, columns: int, sparsity: float, gain: float
           ) -> tuple[float, float]:
    inside(operation, "rows", rows, 1)
    inside(operation, "columns", columns, 1)
    inside(operation, "gain", gain, 0)
    kept = 1 - inside(operation, "sparsity", sparsity, 0, 1)
    return gain * math.sqrt(kept), rows / columns
