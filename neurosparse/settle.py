"""A block of a weight's columns settled one after the other, each error moving what follows."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from neurosparse import kernels
from neurosparse.errors import InputError

with contextlib.suppress(ImportError):  # without it the twin does everything
    from neurosparse import _core

__all__ = ["MOST_COLUMNS", "settle_columns"]

MOST_COLUMNS = 256
"""Columns of a block at most (NS_SETTLE_COLS of the compiled core)."""
_DO = "settle columns"
Floats = NDArray[np.float32]


def settle_columns(weight: Floats, factor: Floats, gone: NDArray[np.bool_], *, errors: Floats
                   ) -> None:
    """Drop what is gone and move what stays, column by column (SparseGPT, arXiv 2301.00774).

    With U the upper factor, column k is first ``w_k - sum_j<k U_jk e_j``; what is gone of it leaves
    the error ``e_k = w_k / U_kk`` and zeros. All levels and the twin give the same bits, and
    nothing depends on threads.

    Parameters
    ----------
    weight : float32 array of shape (columns, rows)
        The weight's columns, each contiguous; changed in place.
    factor : float32 array of shape (columns, columns)
        U transposed, so that its row k has ``U_jk`` for j up to k; the rest is not read.
    gone : bool array of shape (columns, rows)
    errors : float32 array of shape (columns, rows)
        Overwritten with e.

    Raises
    ------
    InputError
        Arrays that do not fit each other, or more than ``MOST_COLUMNS`` columns.
    """
    if kernels.level() != "twin" and not _core.settle_columns(weight, factor, gone, errors):
        return
    kernels.check_array(_DO, "weight", weight, 2, np.float32)
    columns, rows = weight.shape
    for name, array, kind, shape in (("factor", factor, np.float32, (columns, columns)),
                                     ("gone", gone, np.bool_, (columns, rows)),
                                     ("errors", errors, np.float32, (columns, rows))):
        kernels.check_array(_DO, name, array, 2, kind, shape)
    if columns > MOST_COLUMNS:
        raise InputError(_DO, found=f"{columns} columns", expected=f"at most {MOST_COLUMNS}")
    _twin(weight, factor, gone, errors)


def _twin(weight: Floats, factor: Floats, gone: NDArray[np.bool_], errors: Floats) -> None:
    for k, (column, out) in enumerate(zip(weight, gone, strict=True)):
        for j in range(k):
            column -= factor[k, j] * errors[j]
        errors[k] = np.where(out, column, np.float32(0)) / factor[k, k]
        column[out] = 0
