"""Sampled responses made smooth in the time of the kick.

The error of a sampled row R(t_n, .) is nearly white in the kick's time, while the response itself
is smooth between two ends: fast just after the start, where the network relaxes, and fast at short
lags. A cubic spline with knots that crowd at both ends keeps the response and little of the error.
The sweep itself does not use it: in its memory integrals the white error averages out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

Array = NDArray[np.float64]

_START, _LAST = 1, 3  # columns at the start and the end that carry the scheme's edge
_FIRST = 4  # steps between the first knots
_GROWTH = 1.35
_WIDEST = 0.75  # largest distance of knots, in units of the leak's time constant


def smooth_answers(runs: list[dict[tuple[str, str], Array]], dt: float) -> None:
    """Smooth the strictly lower triangular matrices [T, T] of all runs, in place."""
    matrices = [matrix for run in runs for matrix in run.values()]
    for n in range(1, len(matrices[0])):
        basis = _basis(n - _START - _LAST, dt)
        if basis is None:
            continue
        inner = slice(_START, n - _LAST)
        rows = np.array([matrix[n, inner] for matrix in matrices])
        for matrix, row in zip(matrices, (rows @ basis) @ basis.T, strict=True):
            matrix[n, inner] = row


def _basis(inner: int, dt: float) -> Array | None:
    """Orthonormal basis [inner, q] of the splines, or None where there is nothing to gain."""
    if inner < 4 * _FIRST:
        return None
    knots = _knots(inner, dt)
    if len(knots) + 2 > inner // 2:
        return None
    padded = np.concatenate([np.repeat(knots[0], 3), knots, np.repeat(knots[-1], 3)])
    points = np.arange(inner, dtype=np.float64)
    return np.asarray(np.linalg.qr(BSpline.design_matrix(points, padded, 3).toarray())[0])


def _knots(inner: int, dt: float) -> Array:
    """Knots on [0, inner - 1], crowded at both ends."""
    half = (inner - 1) / 2
    widest = max(_WIDEST / dt, _FIRST)
    places, gap = [0.0], float(_FIRST)
    while places[-1] < half:
        places.append(places[-1] + gap)
        gap = min(gap * _GROWTH, widest)
    left = np.array(places) * (half / places[-1])
    return np.concatenate([left, (inner - 1) - left[-2::-1]])
