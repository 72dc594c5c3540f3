"""QR of a tall frame with a positive diagonal: blocked Householder, or Cholesky twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from neurosparse.errors import InputError

Array = NDArray[np.float64]

METHODS = ("householder", "cholesky")

#: CholeskyQR2 is orthogonal to machine precision while cond(A)^2 eps < 1; beyond this guard (on
#: the spread of the Cholesky diagonal, which bounds the condition from below) Householder is taken.
CONDITION_GUARD = 1e6

#: Below this condition one pass of CholeskyQR is orthonormal to 1e-10 (condition^2 eps, and the
#: constants found in the tests).
ONCE = 1000.0

_EPS = float(np.finfo(np.float64).eps)
_WORK: dict[tuple[int, int], int] = {}


def orthonormalise(frame: Array, method: str = "householder") -> tuple[Array, Array]:
    """Factor ``frame = Q R`` with orthonormal Q and upper triangular R, diagonal not negative.

    Parameters
    ----------
    frame
        [N, k], N >= k, float64, Fortran order; overwritten (Q is stored in it).
    method
        ``"householder"`` (LAPACK geqrf and orgqr, always stable) or ``"cholesky"`` (CholeskyQR2,
        all in matrix products; falls back to Householder where the frame is too ill-conditioned).

    Returns
    -------
    Q : ndarray
        [N, k], the same memory as ``frame``. A direction that has collapsed (zero diagonal of R)
        still gets a unit vector, orthogonal to the others.
    R : ndarray
        [k, k].

    Raises
    ------
    InputError
        The method is unknown, or the frame is wider than tall.
    """
    if frame.ndim != 2 or frame.shape[0] < frame.shape[1]:
        raise InputError(
            "orthonormalise", found=f"a frame of shape {frame.shape}", expected="[N, k], N >= k"
        )
    if method == "cholesky":
        factored = _cholesky_twice(frame)
        return factored if factored is not None else _householder(frame)
    if method == "householder":
        return _householder(frame)
    raise InputError(
        "orthonormalise", found=f"orthogonalise={method!r}", expected=" or ".join(METHODS)
    )


def _householder(frame: Array) -> tuple[Array, Array]:
    shape = (frame.shape[0], frame.shape[1])
    if shape not in _WORK:
        _WORK[shape] = int(lapack.dgeqrf_lwork(*shape)[0])  # orgqr has the same block size
    work = _WORK[shape]
    packed, tau, _, info = lapack.dgeqrf(frame, lwork=work, overwrite_a=1)
    _expect(info)
    upper = packed[: shape[1]].copy(order="F")
    for column in range(shape[1]):  # np.triu would take two more copies of R
        upper[column + 1 :, column] = 0.0
    q, _, info = lapack.dorgqr(packed, tau, lwork=work, overwrite_a=1)
    _expect(info)
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    if (signs < 0).any():
        q *= signs
        upper *= signs[:, None]
    return q, upper


def _cholesky_twice(frame: Array) -> tuple[Array, Array] | None:
    """CholeskyQR2 (Yamamoto, Nakatsukasa, Yanagisawa, Fukaya 2015); None if the guard says no.

    Where the frame's condition, estimated from R (LAPACK trcon), is below :data:`ONCE`, the first
    pass is orthonormal to its square times machine precision and the second is left out. The
    frame is untouched when None is returned: the guard is judged before the first solve.
    """
    first = _cholesky(frame)
    if first is None:
        return None
    once = lapack.dtrcon(first)[0] * ONCE > 1.0
    q = blas.dtrsm(1.0, first, frame, side=1, overwrite_b=1)
    if once:
        return q, first
    second = _cholesky(q)
    if second is None:  # cannot happen below the guard but for overflow: hand on what is there
        q, rest = _householder(q)
        return q, np.asfortranarray(rest @ first)
    q = blas.dtrsm(1.0, second, q, side=1, overwrite_b=1)
    upper = np.asfortranarray(np.triu(blas.dtrmm(1.0, second, first)))
    return q, upper


def _cholesky(frame: Array) -> Array | None:
    gram = blas.dsyrk(1.0, frame, trans=1)
    upper, info = lapack.dpotrf(gram, overwrite_a=1, clean=1)
    if info != 0:
        return None
    diagonal = np.diag(upper)
    if not np.isfinite(diagonal).all() or diagonal.max() > CONDITION_GUARD * diagonal.min():
        return None
    result: Array = upper
    return result


def _expect(info: Any) -> None:
    if info != 0:  # pragma: no cover - LAPACK refuses only arguments that are built above
        raise RuntimeError(f"LAPACK refused argument {-int(info)}")


def log_diagonal(upper: Array) -> Array:
    """Logs of the diagonal of R [k], ``-inf`` where a direction has collapsed.

    A direction has collapsed when what is left of its column, after the columns before it are
    taken out, is below rounding: the column held nothing of its own, and its log would be noise.
    """
    diagonal = np.diag(upper)
    columns = np.sqrt(np.einsum("ij,ij->j", upper, upper))
    lost = diagonal <= 8 * _EPS * np.sqrt(len(diagonal)) * columns
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Array = np.where(lost, -np.inf, np.log(diagonal))
    return logs
