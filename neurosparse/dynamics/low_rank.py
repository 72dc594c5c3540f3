"""A coupling matrix that is a base plus few rank-one terms, never formed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]


class LowRankCoupling:
    """J = base + left rightᵀ / N as an operator.

    Parameters
    ----------
    base
        Array or SciPy sparse matrix [N, N].
    left, right
        [N, r] factors m and n of the structured part.
    """

    # so that ndarray @ J and J * x do not loop over this object
    __array_ufunc__ = None

    def __init__(self, base: Any, left: Array, right: Array) -> None:
        self.base = base
        self.left = left
        self.right = right

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        return self.left.shape[0], self.left.shape[0]

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """float64."""
        return np.dtype(np.float64)

    @property
    def rank(self) -> int:
        """Number of columns of the factors."""
        return int(self.left.shape[1])

    @property
    def T(self) -> LowRankCoupling:
        """The transpose, sharing its memory."""
        return LowRankCoupling(self.base.T, self.right, self.left)

    def __matmul__(self, x: Array) -> Array:
        """J x for a vector [N] or a matrix [N, k]."""
        moved = self.right.T @ x
        return np.asarray(self.base @ x + self.left @ (moved / self.shape[0]))

    def diagonal(self) -> Array:
        """J_ii [N]."""
        return np.asarray(self.base.diagonal() + (self.left * self.right).sum(1) / self.shape[0])

    def column_squares(self) -> Array:
        """Σ_i J_ij² for each column j, without forming J [N]."""
        n = self.shape[0]
        if isinstance(self.base, np.ndarray):
            own = np.einsum("ij,ij->j", self.base, self.base)
        else:
            own = np.asarray(self.base.multiply(self.base).sum(axis=0)).reshape(-1)
        mixed = ((self.base.T @ self.left) * self.right).sum(1)
        factor = ((self.right @ (self.left.T @ self.left)) * self.right).sum(1)
        return np.asarray(own + 2.0 * mixed / n + factor / n**2)

    def toarray(self) -> Array:
        """J as a dense array [N, N]."""
        base = self.base if isinstance(self.base, np.ndarray) else self.base.toarray()
        return np.asarray(base + self.left @ self.right.T / self.shape[0])


def low_rank_couplings(base: Any, left: ArrayLike, right: ArrayLike) -> LowRankCoupling:
    """Low-rank plus random couplings J = base + left rightᵀ / N.

    Parameters
    ----------
    base
        [N, N] array or sparse matrix, usually random with gain g.
    left, right
        [N] or [N, r]. An eigenvalue leaves the bulk near rightᵀ left / N when that is larger than
        g (numerics.md row 47; Mastrogiuseppe and Ostojic 2018, equation 2).

    Returns
    -------
    LowRankCoupling
        An operator with ``@``, ``.T``, ``.shape``, ``.toarray()``.

    Raises
    ------
    InputError
        Shapes that do not fit, or entries that are not finite.
    """
    from neurosparse.dynamics.couplings import check_couplings

    operation = "low_rank_couplings"
    if isinstance(base, LowRankCoupling):
        raise InputError(operation, found="a base that is itself a LowRankCoupling",
                         expected="an array or a sparse matrix",
                         mend="Put the columns beside one another instead.")
    checked = check_couplings(base, operation)
    factors = []
    for name, given in (("left", left), ("right", right)):
        factor = np.array(given, dtype=np.float64)
        if factor.ndim == 1:
            factor = factor[:, None]
        if factor.ndim != 2 or factor.shape[0] != checked.shape[0]:
            raise InputError(operation, found=f"{name} of shape {np.shape(given)}",
                             expected=f"[{checked.shape[0]}] or [{checked.shape[0]}, r]")
        if not np.isfinite(factor).all():
            raise InputError(operation, found=f"NaN or infinite entries in {name}",
                             expected="finite numbers")
        factors.append(factor)
    if factors[0].shape != factors[1].shape:
        raise InputError(operation, found=f"factors {factors[0].shape} and {factors[1].shape}",
                         expected="two factors of one shape")
    return LowRankCoupling(checked, factors[0], factors[1])
