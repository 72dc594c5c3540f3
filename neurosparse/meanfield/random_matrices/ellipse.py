"""Circular and elliptic law: where the eigenvalues of random couplings lie."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.meanfield.checks import array, complex_array, inside


def elliptic_axes(gain: float, *, symmetry: float = 0.0, sparsity: float = 0.0
                  ) -> tuple[float, float]:
    """Semi-axes (real, imaginary) of the ellipse that eigenvalues fill evenly as N grows.

    g√(1-s) (1 + η) and g√(1-s) (1 - η): the circle of radius g for η = 0 (Girko), the ellipse of
    Sommers et al. (1988) otherwise, the semicircle's interval at η = 1.

    Parameters
    ----------
    gain
        g: J_ij has variance g²/N before masking.
    symmetry
        η in [-1, 1], the correlation of J_ij and J_ji (pairs masked together).
    sparsity
        s in [0, 1], the share of entries masked away, without rescaling.

    Raises
    ------
    InputError
        A value out of its range.
    """
    radius = _radius("elliptic_axes", gain, sparsity)
    eta = inside("elliptic_axes", "symmetry", symmetry, -1, 1)
    return radius * (1 + eta), radius * (1 - eta)


def elliptic_density(eigenvalue: ArrayLike, gain: float, *, symmetry: float = 0.0,
                     sparsity: float = 0.0) -> NDArray[np.float64]:
    """Density of eigenvalues a unit of area of the complex plane, normalised to one.

    1/(π a b) inside the ellipse of :func:`elliptic_axes`, zero outside.

    Raises
    ------
    InputError
        A value out of its range; |η| = 1 has no density in the plane.
    """
    inside("elliptic_density", "gain", gain, 0, open_low=True)
    inside("elliptic_density", "symmetry", symmetry, -1, 1, open_low=True, open_high=True)
    inside("elliptic_density", "sparsity", sparsity, 0, 1, open_high=True)
    real, imaginary = elliptic_axes(gain, symmetry=symmetry, sparsity=sparsity)
    z = complex_array("elliptic_density", "eigenvalue", eigenvalue)
    within = (z.real / real) ** 2 + (z.imag / imaginary) ** 2 <= 1
    return np.where(within, 1 / (math.pi * real * imaginary), 0.0)


def rest_density(exponent: ArrayLike, gain: float, *, symmetry: float = 0.0,
                 sparsity: float = 0.0) -> NDArray[np.float64]:
    """Density of the Lyapunov exponents of x' = -x + J φ(x) at a rest state with φ'(0) = 1.

    The exponents are the real parts of the eigenvalues of -1 + J. An evenly filled ellipse casts a
    semicircle of its real semi-axis onto the real line, here around -1 (row 44 of numerics.md).
    With another φ'(0) give g φ'(0) as the gain.

    Raises
    ------
    InputError
        A value out of its range.
    """
    inside("rest_density", "gain", gain, 0, open_low=True)
    inside("rest_density", "sparsity", sparsity, 0, 1, open_high=True)
    inside("rest_density", "symmetry", symmetry, -1, 1, open_low=True)
    axis, _ = elliptic_axes(gain, symmetry=symmetry, sparsity=sparsity)
    away = array("rest_density", "exponent", exponent) + 1
    return np.asarray(2 / (math.pi * axis**2) * np.sqrt(np.maximum(axis**2 - away**2, 0)))


def _radius(operation: str, gain: float, sparsity: float) -> float:
    inside(operation, "gain", gain, 0)
    return gain * math.sqrt(1 - inside(operation, "sparsity", sparsity, 0, 1))
