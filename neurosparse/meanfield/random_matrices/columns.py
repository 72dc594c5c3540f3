"""Eigenvalues of couplings whose columns differ in variance (several populations of neurons)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array


def column_radius(variances: ArrayLike, fractions: ArrayLike | None = None) -> float:
    """Radius √⟨σ²⟩ of the disc; the mean is over columns (Rajan and Abbott 2006).

    Raises
    ------
    InputError
        Negative variances or fractions, or shapes that differ.
    """
    variance, share = _populations("column_radius", variances, fractions)
    return math.sqrt(float(share @ variance))


def column_radial_distribution(radius: ArrayLike, variances: ArrayLike,
                               fractions: ArrayLike | None = None) -> NDArray[np.float64]:
    """Share F(r) of eigenvalues with modulus at most r, for entries of variance σ_j²/N in column j.

    Unequal columns do not fill the disc evenly. F solves ⟨σ² / (r² + (1-F) σ²)⟩ = 1 (single-ring
    theorem for a Ginibre matrix times diag(σ); density of Rajan and Abbott, PRL 97, 188104);
    for equal columns F = r²/σ².

    Parameters
    ----------
    radius
        r >= 0, any shape.
    variances
        σ_p² of each population, [P].
    fractions
        Their shares of the columns, [P]; equal if not given. They are normalised to one.

    Raises
    ------
    InputError
        Negative variances, fractions or radii, or shapes that differ.
    """
    operation = "column_radial_distribution"
    variance, share = _populations(operation, variances, fractions)
    r = array(operation, "radius", radius)
    if not np.all(r >= 0):
        raise InputError(operation, found="a radius below zero or NaN", expected="r >= 0")
    edge = share @ variance
    # The left side falls in 1-F; 60 halvings find it to the last bit for all radii at once.
    low, high = np.zeros(r.shape), np.ones(r.shape)
    for _ in range(60):
        outside = 0.5 * (low + high)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(variance > 0,
                             variance / (r[..., None] ** 2 + outside[..., None] * variance), 0.0)
        more = terms @ share > 1
        low, high = np.where(more, outside, low), np.where(more, high, outside)
    return np.where(r**2 >= edge, 1.0, 1 - 0.5 * (low + high))


def _populations(operation: str, variances: ArrayLike, fractions: ArrayLike | None
                 ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    variance = np.atleast_1d(array(operation, "variances", variances))
    share = (np.full(variance.shape, 1 / variance.size) if fractions is None
             else np.atleast_1d(array(operation, "fractions", fractions)))
    if variance.ndim != 1 or share.shape != variance.shape:
        raise InputError(operation, found=f"shapes {variance.shape} and {share.shape}",
                         expected="one variance and one fraction a population")
    good = np.all(np.isfinite(variance)) and np.all(variance >= 0)
    if not (good and np.all(np.isfinite(share)) and np.all(share >= 0) and share.sum() > 0):
        raise InputError(operation, found="variances or fractions negative or not finite",
                         expected="finite numbers >= 0, some fraction above zero")
    return variance, share / share.sum()
