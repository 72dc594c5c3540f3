"""Output error of a linear map as its weights go, all levels in one pass over the sorted rows."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import kernels
from neurosparse.errors import InputError

with contextlib.suppress(ImportError):  # without it the twin does everything
    from neurosparse import _core

__all__ = ["error_curves"]


def error_curves(weight: NDArray[np.float32], gram: NDArray[np.float32],
                 order: NDArray[np.integer[Any]], counts: NDArray[np.integer[Any]]
                 ) -> NDArray[np.float64]:
    """``sum_rows d^T G d`` at every level, d the weights that are gone at it.

    With ``G = X^T X`` this is ``|X (W_s - W)^T|_F^2`` (theory.md section 1). A weight that goes
    changes the error by its own product with ``G d``, which is carried along, so all levels cost
    as much as one product ``W G``.

    Parameters
    ----------
    weight : array of shape (rows, columns)
    gram : array of shape (columns, columns)
        Symmetric.
    order : array of shape (rows, columns)
        Columns of each row in the order in which they go.
    counts : array of shape (rows, levels)
        How many of a row are gone at each level, not falling.

    Returns
    -------
    errors : array of shape (levels,)

    Raises
    ------
    InputError
        Shapes do not fit, an index is outside, or counts fall.
    """
    dense = np.ascontiguousarray(weight, np.float32)
    matrix = np.ascontiguousarray(gram, np.float32)
    columns = np.ascontiguousarray(order, np.int32)
    gone = np.ascontiguousarray(counts, np.int64)
    if gone.ndim != 2 or len(gone) != len(dense):
        raise _refused(f"counts of shape {gone.shape} for a weight of shape {dense.shape}")
    out = np.zeros((len(dense), gone.shape[1]))
    if kernels.level() == "twin":
        _check(dense, matrix, columns, gone)
        _twin(dense, matrix, columns, gone, out)
    elif code := _core.error_curves(dense, matrix, columns, gone, np.empty_like(dense), out):
        raise _refused(_core.strerror(code))
    found: NDArray[np.float64] = np.maximum(out.sum(axis=0), 0.0)
    return found


def _refused(found: str) -> InputError:
    return InputError("error curves", found=found,
                      expected="weight (r, c), gram (c, c), order (r, c) with columns below c, and "
                               "counts (r, levels) that do not fall and are at most c")


def _check(dense: NDArray[Any], matrix: NDArray[Any], order: NDArray[Any], counts: NDArray[Any]
           ) -> None:
    columns = dense.shape[1]
    good = (matrix.shape == (columns, columns) and order.shape == dense.shape
            and bool(((order >= 0) & (order < columns)).all())
            and bool((np.diff(counts, axis=1, prepend=0) >= 0).all())
            and bool((counts <= columns).all()))
    if not good:
        raise _refused("arguments that do not fit")


def _twin(dense: NDArray[Any], matrix: NDArray[Any], order: NDArray[Any], counts: NDArray[Any],
          out: NDArray[np.float64]) -> None:
    exact, place = matrix.astype(np.float64), np.arange(dense.shape[1])
    for row, weight in enumerate(dense.astype(np.float64)):
        sorted_in = np.empty(len(place), np.int64)
        sorted_in[order[row]] = place
        for level, count in enumerate(counts[row]):
            gone = np.where(sorted_in < count, weight, 0.0)
            out[row, level] = gone @ exact @ gone
