"""What a coupling matrix J may be, and the few questions the flow asks of one.

J is a float64 array [N, N] in C order, a SciPy ``csr_array``, or a :class:`LowRankCoupling`. All
three answer ``J @ x``, ``J.T`` and ``J.shape``; the rest is asked through the functions below.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurosparse.dynamics.low_rank import LowRankCoupling
from neurosparse.errors import InputError

Array = NDArray[np.float64]
Couplings: TypeAlias = Any
Storage = Literal["auto", "dense", "sparse"]

# from this fraction of zeros on, compressed rows take less memory and time than dense ones
SPARSE_FROM = 0.5


def check_couplings(J: Couplings, operation: str = "couplings") -> Couplings:
    """Return ``J`` as the flow wants it: square, finite, float64.

    Parameters
    ----------
    J
        Array-like [N, N], any SciPy sparse matrix, or a :class:`LowRankCoupling`.
    operation
        Named in the error.

    Returns
    -------
    ndarray, csr_array or LowRankCoupling
        The same object where it already fits (nothing is copied then).

    Raises
    ------
    InputError
        Not two-dimensional, not square, empty, complex, or not finite.
    """
    if isinstance(J, LowRankCoupling):
        return J
    if sparse.issparse(J):
        checked: Any = sparse.csr_array(J)
        kind = checked.dtype.kind
    else:
        try:
            checked = np.asarray(J)
        except ValueError as error:
            raise InputError(operation, found="rows of unequal length",
                             expected="a square matrix J [N, N]") from error
        kind = checked.dtype.kind
    if kind not in "fiub":
        raise InputError(operation, found=f"J of type {checked.dtype}", expected="real numbers")
    if checked.ndim != 2 or checked.shape[0] != checked.shape[1] or checked.shape[0] == 0:
        raise InputError(operation, found=f"J of shape {checked.shape}",
                         expected="a square matrix J [N, N]")
    if sparse.issparse(checked):
        checked = checked.astype(np.float64, copy=False)
        values = checked.data
    else:
        checked = values = np.ascontiguousarray(checked, dtype=np.float64)
    if not np.isfinite(values).all():
        bad = int(np.size(values) - np.isfinite(values).sum())
        raise InputError(operation, found=f"{bad} entries of J that are NaN or infinite",
                         expected="finite numbers")
    return checked


def diagonal(J: Couplings) -> Array:
    """J_ii [N], as a new array."""
    return np.array(J.diagonal(), dtype=np.float64)


def column_squares(J: Couplings) -> Array:
    """Σ_i J_ij² for each column j [N]."""
    if isinstance(J, LowRankCoupling):
        return J.column_squares()
    if sparse.issparse(J):
        return np.asarray(J.multiply(J).sum(axis=0), dtype=np.float64).reshape(-1)
    return np.asarray(np.einsum("ij,ij->j", J, J))


def dense(J: Couplings) -> Array:
    """J as a dense array [N, N]; the array itself where it is one."""
    return J if isinstance(J, np.ndarray) else np.ascontiguousarray(J.toarray())


def store(matrix: Couplings, storage: Storage, sparsity: float, operation: str) -> Couplings:
    """Bring a drawn matrix into the asked storage.

    Raises
    ------
    InputError
        An unknown storage.
    """
    if storage not in ("auto", "dense", "sparse"):
        raise InputError(operation, found=f"storage {storage!r}",
                         expected="'auto', 'dense' or 'sparse'")
    if storage == "sparse" or (storage == "auto" and sparsity >= SPARSE_FROM):
        return sparse.csr_array(matrix)
    return dense(matrix)


def check_number(operation: str, name: str, value: float, low: float, high: float,
                 *, open_high: bool = False) -> float:
    """Return ``value`` as a float if it lies in [low, high] (or [low, high)).

    Raises
    ------
    InputError
        It does not, or is no number.
    """
    good = isinstance(value, (int, float, np.integer, np.floating)) and low <= value <= high
    if not good or (open_high and value == high) or not np.isfinite(value):
        closing = ")" if open_high or high == np.inf else "]"
        raise InputError(operation, found=f"{name} {value!r}",
                         expected=f"a number in [{low:g}, {high:g}{closing}")
    return float(value)


def check_size(operation: str, n: int) -> int:
    """Return ``n`` if it can be a number of neurons.

    Raises
    ------
    InputError
        It is not a positive integer.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InputError(operation, found=f"n {n!r}", expected="a whole number of neurons >= 1")
    return int(n)


def check_seed(operation: str, seed: int) -> int:
    """Return ``seed`` if random numbers can be drawn from it.

    Raises
    ------
    InputError
        It is not a whole number >= 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(operation, found=f"seed {seed!r}", expected="a whole number >= 0")
    return int(seed)
