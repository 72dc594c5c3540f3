"""The regulated network at rest: eigenvalues of (I-J)ᵀ(I-J)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.meanfield.checks import array, inside


def regulated_edges(gain: float) -> tuple[float, float]:
    """Edges of the eigenvalues of (I-J)ᵀ(I-J), J_ij ~ N(0, g²/N), as N grows.

    The flow at γ = 1 linearises at rest to -(I-J)ᵀ(I-J), so its exponents lie between minus the
    upper and minus the lower edge. With a = 1/g²,

        λ± = g² (√(1+8a) ± 3)³ / (8 (√(1+8a) ± 1)).

    The lower edge closes at g = 1 and stays at zero beyond. 1/λ+ is the largest stable Euler
    step at rest up to the factor 2. With φ'(0) other than one give g φ'(0) as the gain.

    Raises
    ------
    InputError
        The gain is negative or not finite.
    """
    g = inside("regulated_edges", "gain", gain, 0)
    # g²(r ± 3)³/(8(r ± 1)) with r = √(1+8/g²), multiplied out by g so that g = 0 is no pole.
    r = math.sqrt(g * g + 8)
    upper = (r + 3 * g) ** 3 / (8 * (r + g))
    lower = (r - 3 * g) ** 3 / (8 * (r - g)) if g < 1 else 0.0
    return lower, upper


def regulated_density(value: ArrayLike, gain: float) -> NDArray[np.float64]:
    """Density of the eigenvalues of (I-J)ᵀ(I-J), normalised to one.

    From the resolvent m of a Gaussian matrix with a mean (Dozier and Silverstein 2007), here with
    all singular values of the mean equal to one: m = (1+g²m) / (1 - λ(1+g²m)²). The density is
    Im m/π of the root with positive imaginary part.

    Parameters
    ----------
    value
        λ, any shape.
    gain
        g > 0.

    Raises
    ------
    InputError
        The gain is not positive.
    """
    g = inside("regulated_density", "gain", gain, 0, open_low=True)
    x = array("regulated_density", "value", value)
    low, high = regulated_edges(g)
    density = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        if max(low, 0.0) < x[index] < high:
            density[index] = _resolvent(float(x[index]), g).imag / math.pi
    return density


def _resolvent(value: float, gain: float) -> complex:
    # With w = 1 + g²m: g²w = (w - 1)(1 - λw²), a cubic in w.
    roots = np.roots([-value, value, 1 - gain**2, -1.0])
    w = complex(roots[np.argmax(roots.imag)])
    return (w - 1) / gain**2
