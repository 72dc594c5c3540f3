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
        Shapes do not fit, an index or a count is not a whole number or outside, a row names a
        column twice, counts fall, or numbers are not finite, or too large for float32.
    """
    dense, matrix = _floats("weight", weight), _floats("gram", gram)
    places, gone = _whole("order", order), _whole("counts", counts)
    _check(dense, matrix, places, gone)
    columns, gone = np.ascontiguousarray(places, np.int32), np.ascontiguousarray(gone, np.int64)
    out = np.zeros((len(dense), gone.shape[1]))
    if kernels.level() == "twin":
        _twin(dense, matrix, columns, gone, out)
    elif code := _core.error_curves(dense, matrix, columns, gone, np.empty_like(dense), out):
        raise _refused(_core.strerror(code))
    found: NDArray[np.float64] = np.maximum(out.sum(axis=0), 0.0)
    if not np.isfinite(found).all():
        raise InputError("error curves", found="errors that overflow",
                         expected="a weight and a Gram matrix whose product fits float32")
    return found


def _floats(name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # said below
        dense = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(dense).all():
        raise InputError("error curves", found=f"a {name} with NaN or infinite entries",
                         expected="entries that are finite in float32")
    return dense


def _whole(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """As they come: a cast would cut fractions off and take 2**32 for 0."""
    found = np.asarray(values)
    if found.size and found.dtype.kind not in "iu":
        raise InputError("error curves", found=f"{name} of {found.dtype}",
                         expected="whole numbers")
    return found


def _refused(found: str) -> InputError:
    return InputError("error curves", found=found,
                      expected="weight (r, c), gram (c, c), order (r, c) with every column below c "
                               "once in a row, and counts (r, levels) that do not fall and are at "
                               "most c")


def _check(dense: NDArray[Any], matrix: NDArray[Any], order: NDArray[Any], counts: NDArray[Any]
           ) -> None:
    shapes = [one.shape for one in (dense, matrix, order, counts)]
    if not (dense.ndim == counts.ndim == 2 and matrix.shape == (dense.shape[1],) * 2
            and order.shape == dense.shape and len(counts) == len(dense)):
        raise _refused(f"shapes {', '.join(map(str, shapes))}")
    columns = dense.shape[1]
    if order.size and not (order.min() >= 0 and order.max() < columns):
        raise _refused(f"columns {order.min()} to {order.max()} in the order")
    seen = np.zeros(dense.shape, np.bool_)
    np.put_along_axis(seen, order.astype(np.intp, copy=False), True, axis=1)
    if not seen.all():
        raise _refused("a column twice in a row of the order")
    if counts.size and not (counts.min() >= 0 and counts.max() <= columns
                            and (counts[:, 1:] >= counts[:, :-1]).all()):
        raise _refused("counts that fall or are outside")


def _twin(dense: NDArray[Any], matrix: NDArray[Any], order: NDArray[Any], counts: NDArray[Any],
          out: NDArray[np.float64]) -> None:
    exact, place = matrix.astype(np.float64), np.arange(dense.shape[1])
    for row, weight in enumerate(dense.astype(np.float64)):
        sorted_in = np.empty(len(place), np.int64)
        sorted_in[order[row]] = place
        for level, count in enumerate(counts[row]):
            gone = np.where(sorted_in < count, weight, 0.0)
            out[row, level] = gone @ exact @ gone
