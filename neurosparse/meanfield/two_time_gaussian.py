"""Gaussian fields drawn one time after another, each given all that came before."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array

Array = NDArray[np.float64]

# A new direction with less than this share of the largest variance is left out.
_KNOWN = 1e-12


def check_covariance(matrix: object, operation: str, *, size: int | None = None) -> Array:
    """``matrix`` as a float64 covariance [T, T], or a refusal.

    Raises
    ------
    InputError
        It is not square, finite and symmetric, or it has an eigenvalue below -1e-10 of the
        largest one; or it does not hold numbers.
    """
    value = array(operation, "covariance", matrix)
    wanted = "[T, T]" if size is None else f"[{size}, {size}]"
    if value.ndim != 2 or value.shape[0] != value.shape[1] or size not in (None, value.shape[0]):
        raise InputError(operation, found=f"a covariance of shape {value.shape}",
                         expected=f"a covariance {wanted}")
    if not np.isfinite(value).all():
        raise InputError(operation, found="a covariance that is not finite", expected="numbers")
    scale = float(np.abs(value).max(initial=0.0))
    skew = float(np.abs(value - value.T).max(initial=0.0))
    if skew > 1e-10 * scale:
        raise InputError(operation, found=f"a covariance with asymmetry {skew:.3g}",
                         expected="C(t, s) = C(s, t)")
    lowest = float(scipy.linalg.eigvalsh(value, subset_by_index=[0, 0])[0]) if value.size else 0.0
    if lowest < -1e-10 * scale * value.shape[0]:
        raise InputError(operation, found=f"a covariance with eigenvalue {lowest:.3g}",
                         expected="no negative eigenvalue")
    return value


def root(covariance: Array) -> Array:
    """A matrix B with B Bᵀ = ``covariance``, which may be singular."""
    values, vectors = scipy.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


class IsotropicMap:
    """A random linear map without preferred direction, revealed as far as it is used.

    Vectors over K samples, v = (φ_1 .. φ_K), go to Gaussian fields with covariance <v w>, the
    sample mean of the product: what J does to a network's state, seen from one site. The map takes
    an orthonormal basis of the vectors so far (Gram-Schmidt, twice) to white sources, so the
    covariance holds to rounding, however smooth the vectors are in time; a vector that the earlier
    ones span brings no new direction.

    Parameters
    ----------
    sources
        One or more sets of white sources, each [M, K]; every vector is mapped by each set.
    """

    def __init__(self, *sources: Array) -> None:
        self._sources = sources
        self._basis = np.empty((16, sources[0].shape[1]))
        self._scale = 0.0
        self.rank = 0

    def __call__(self, vector: Array) -> list[Array]:
        """The fields [K] of one vector [K], one for each set of sources."""
        coordinates = self._coordinates(vector)
        return [coordinates @ set_[:self.rank] for set_ in self._sources]

    def _coordinates(self, vector: Array) -> Array:
        samples = vector.size
        basis = self._basis[:self.rank]
        first = basis @ vector / samples
        rest = vector - first @ basis
        second = basis @ rest / samples
        rest -= second @ basis
        square = float(vector @ vector) / samples
        left = float(rest @ rest) / samples
        self._scale = max(self._scale, square)
        if left <= _KNOWN * self._scale:
            return np.asarray(first + second)
        if self.rank == len(self._basis):
            self._basis = np.concatenate([self._basis, np.empty_like(self._basis)])
        self._basis[self.rank] = rest / np.sqrt(left)
        self.rank += 1
        return np.append(first + second, np.sqrt(left))
