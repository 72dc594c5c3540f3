"""Eigenvalues that a perturbation of low rank, or a mean, pulls out of the bulk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.dynamics.excitatory_inhibitory import ei_outlier, ei_radius
from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside


def low_rank_outliers(left: ArrayLike, right: ArrayLike, gain: float, *, symmetry: float = 0.0,
                      sparsity: float = 0.0) -> NDArray[np.complex128]:
    """Outliers of J + left rightᵀ/N, largest modulus first; those inside the bulk are left out.

    A nonzero eigenvalue λ of left rightᵀ/N with |λ| > g√(1-s) becomes an outlier at
    λ + η g²(1-s)/λ (Tao 2013 for η = 0; O'Rourke and Renfrew 2014). Fluctuations are of order 1/√N.

    Parameters
    ----------
    left, right
        m and n, [N] or [N, rank], fixed before J is drawn.
    gain, symmetry, sparsity
        g, η and s of J. The perturbation itself is not masked.

    Returns
    -------
    ndarray
        Complex, at most ``rank`` of them.

    Raises
    ------
    InputError
        Shapes that differ, or a value out of its range.
    """
    operation = "low_rank_outliers"
    m, n = array(operation, "left", left), array(operation, "right", right)
    m, n = (side[:, None] if side.ndim == 1 else side for side in (m, n))
    if m.ndim != 2 or m.shape != n.shape:
        raise InputError(operation, found=f"shapes {m.shape} and {n.shape}",
                         expected="two arrays [N] or [N, rank] of one shape")
    eta = inside(operation, "symmetry", symmetry, -1, 1)
    variance = inside(operation, "gain", gain, 0) ** 2 * (
        1 - inside(operation, "sparsity", sparsity, 0, 1))
    seeds = np.linalg.eigvals(n.T @ m / len(m)).astype(np.complex128)
    seeds = seeds[np.abs(seeds) > math.sqrt(variance)]
    found = seeds + eta * variance / seeds
    return found[np.argsort(-np.abs(found), kind="stable")]


@dataclass(frozen=True)
class EILaw:
    """Spectrum of excitatory-inhibitory couplings.

    Attributes
    ----------
    radius
        R of the bulk.
    mean_eigenvalue
        √N α [f μ_e + (1-f) μ_i] g, from the mean alone.
    outlier
        The same if its modulus exceeds R, else None.
    """

    radius: float
    mean_eigenvalue: float

    @property
    def outlier(self) -> float | None:
        """The eigenvalue outside the bulk, if there is one."""
        return self.mean_eigenvalue if abs(self.mean_eigenvalue) > self.radius else None


def ei_law(n: int, *, zero_row_sums: bool = False, dale: Literal["average", "strict"] = "average",
           **ensemble: Any) -> EILaw:
    """Bulk radius and outlier of :func:`neurosparse.dynamics.ei_couplings` (Rajan, Abbott 2006).

    Parameters
    ----------
    n
        Number of neurons.
    zero_row_sums, dale
        As of the couplings; zero row sums remove the outlier and change the radius.
    **ensemble
        ``mean_e``, ``mean_i``, ``std_e``, ``std_i``, ``excitatory``, ``density``, ``gain``.

    Raises
    ------
    InputError
        A value out of its range.
    """
    return EILaw(ei_radius(dale=dale, zero_row_sums=zero_row_sums, **ensemble),
                 ei_outlier(n, dale=dale, zero_row_sums=zero_row_sums, **ensemble))
