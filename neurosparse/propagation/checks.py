"""What every statement of this room asks of its matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]


def numbers(operation: str, name: str, value: ArrayLike) -> Array:
    """``value`` as a float64 array of any shape.

    Raises
    ------
    InputError
        Rows of several lengths, text, nothing, or complex numbers.
    """
    try:
        found = np.asarray(value)
        if np.iscomplexobj(found) or found.dtype.kind in "USM":
            raise TypeError("numbers of another kind")
        return np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(operation, found=f"{name} {' '.join(repr(value).split()):.60}",
                         expected="real numbers in rows of one length") from error


def vector(operation: str, name: str, value: ArrayLike, size: int) -> Array:
    """A vector of ``size`` finite numbers.

    Raises
    ------
    InputError
        It is none.
    """
    found = numbers(operation, name, value)
    if found.shape != (size,) or not np.all(np.isfinite(found)):
        raise InputError(operation, found=f"{name} of shape {found.shape}" + (
            ", some not finite" if found.shape == (size,) else ""),
            expected=f"finite numbers of shape ({size},)")
    return found


def matrix(operation: str, name: str, value: ArrayLike) -> Array:
    """``value`` as a finite, non-empty float64 matrix.

    Raises
    ------
    InputError
        It is none.
    """
    found = numbers(operation, name, value)
    if found.ndim != 2 or not found.size or not np.all(np.isfinite(found)):
        raise InputError(operation, found=f"{name} of shape {found.shape}" + (
            ", some not finite" if found.ndim == 2 and found.size else ""),
            expected="a non-empty matrix of finite numbers")
    return found


def same_shape(operation: str, name: str, value: ArrayLike, like: Array) -> Array:
    """A matrix of the shape of ``like``.

    Raises
    ------
    InputError
        Its shape is another.
    """
    found = matrix(operation, name, value)
    if found.shape != like.shape:
        raise InputError(operation, found=f"{name} of shape {found.shape}",
                         expected=f"the shape {like.shape}")
    return found


def mask(operation: str, name: str, value: ArrayLike, like: Array) -> NDArray[np.bool_]:
    """A mask (true: kept) of the shape of ``like``.

    Raises
    ------
    InputError
        An entry is neither 0 nor 1, or the shape is another.
    """
    found = same_shape(operation, name, value, like)
    if not np.all((found == 0) | (found == 1)):
        raise InputError(operation, found=f"{name} with entries besides 0 and 1",
                         expected="a mask: 1 where a weight is kept, 0 where it is removed")
    return np.asarray(found != 0, dtype=np.bool_)


def chain(operation: str, dense: Sequence[ArrayLike], sparse: Sequence[ArrayLike]
          ) -> list[tuple[Array, Array]]:
    """Pairs (dense, sparse) of matrices that can follow one another.

    Raises
    ------
    InputError
        Nothing given, two lengths, or shapes that do not fit (the layer is named).
    """
    if not len(dense) or len(dense) != len(sparse):
        raise InputError(operation, found=f"{len(dense)} dense and {len(sparse)} sparse matrices",
                         expected="one sparse matrix for each dense one, at least one")
    pairs: list[tuple[Array, Array]] = []
    for i, (one, other) in enumerate(zip(dense, sparse, strict=True)):
        w = matrix(operation, f"dense matrix {i}", one)
        v = same_shape(operation, f"sparse matrix {i}", other, w)
        if pairs and w.shape[1] != pairs[-1][0].shape[0]:
            raise InputError(operation, found=f"matrix {i} with {w.shape[1]} columns",
                             expected=f"{pairs[-1][0].shape[0]}, the rows of matrix {i - 1}")
        pairs.append((w, v))
    return pairs


def moment(operation: str, value: ArrayLike, size: int) -> Array:
    """A symmetric positive semidefinite second moment [size, size].

    Raises
    ------
    InputError
        The shape is another, or it is not symmetric, or has an eigenvalue below zero.
    """
    found = matrix(operation, "covariance", value)
    if found.shape != (size, size):
        raise InputError(operation, found=f"covariance of shape {found.shape}",
                         expected=f"({size}, {size}), the columns of the first matrix")
    scale = float(np.abs(found).max())
    if np.abs(found - found.T).max() > 1e-10 * scale:
        raise InputError(operation, found="a covariance that is not symmetric",
                         expected="E[x xᵀ], which is")
    found = 0.5 * (found + found.T)
    least = float(np.linalg.eigvalsh(found)[0])
    if least < -1e-10 * scale * size:
        raise InputError(operation, found=f"a covariance with eigenvalue {least:.3g}",
                         expected="no eigenvalue below zero")
    return found
