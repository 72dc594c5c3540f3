"""Products of the couplings with a frame, written where they are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas
from scipy.sparse import issparse

from neurosparse.dynamics.couplings import Couplings

Frame = NDArray[Any]


class Product:
    """J or Jᵀ times a frame, added to another frame.

    Dense couplings go to BLAS without a copy (one product reads J once for all columns); sparse
    ones and low-rank sums use their own ``@``.

    Parameters
    ----------
    J
        Couplings [N, N].
    dtype
        float64 or float32: the type of the frames, and of the dense copy of J.
    """

    def __init__(self, J: Couplings, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._gemm = blas.dgemm if self.dtype == np.float64 else blas.sgemm
        self.dense = isinstance(J, np.ndarray)
        if isinstance(J, np.ndarray):
            self._J: Any = np.ascontiguousarray(J, self.dtype)
        elif issparse(J) and self.dtype != np.float64:
            self._J = J.astype(self.dtype)
        else:
            self._J = J

    def add(self, out: Frame, frame: Frame, factor: float, *, transposed: bool = False) -> None:
        """``out += factor * J @ frame`` (or ``J.T @ frame``); both [N, k] in Fortran order."""
        if not self.dense:
            matrix = self._J.T if transposed else self._J
            out += self.dtype.type(factor) * (matrix @ np.ascontiguousarray(frame))
            return
        # In C order J is, to BLAS, the transpose of a Fortran matrix.
        self._gemm(factor, self._J.T, frame, 1.0, out, trans_a=not transposed, overwrite_c=1)
