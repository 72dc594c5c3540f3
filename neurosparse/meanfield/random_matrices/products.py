"""Products of Gaussian matrices: exponents of deep linear networks and their large-width law."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.meanfield.checks import array, inside, whole


def gaussian_product_exponents(size: int, gain: float = 1.0) -> NDArray[np.float64]:
    """All Lyapunov exponents of products of N x N Gaussian matrices, exact at any N (Newman 1986).

    λ_k = ½ [ln(2g²/N) + ψ((N-k+1)/2)], k = 1..N, for independent entries of variance g²/N.

    Raises
    ------
    InputError
        The size is below one, or the gain not positive.
    """
    from scipy.special import digamma

    whole("gaussian_product_exponents", "size", size, 1)
    inside("gaussian_product_exponents", "gain", gain, 0, open_low=True)
    order = np.arange(size, 0, -1)
    return np.asarray(0.5 * (math.log(2 * gain**2 / size) + digamma(order / 2)), dtype=np.float64)


def gaussian_product_quantile(position: ArrayLike, gain: float = 1.0) -> NDArray[np.float64]:
    """Large-N exponent at x = k/N in (0, 1): ½ ln(g²(1-x)).

    Raises
    ------
    InputError
        The gain is not positive.
    """
    inside("gaussian_product_quantile", "gain", gain, 0, open_low=True)
    x = array("gaussian_product_quantile", "position", position)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(0.5 * np.log(gain**2 * (1 - x)))


def gaussian_product_distribution(exponent: ArrayLike, gain: float = 1.0) -> NDArray[np.float64]:
    """Share F(s) of exponents at most s, large N: exp(2s)/g², at most one.

    Raises
    ------
    InputError
        The gain is not positive.
    """
    inside("gaussian_product_distribution", "gain", gain, 0, open_low=True)
    s = array("gaussian_product_distribution", "exponent", exponent)
    return np.asarray(np.exp(np.minimum(2 * s - 2 * math.log(gain), 0.0)))
