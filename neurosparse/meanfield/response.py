"""Linear networks with reciprocal correlation: response and autocovariance in closed form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ive, jv

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside

Array = NDArray[np.float64]


def linear_response(times: ArrayLike, gain: float, *, symmetry: float = 0.0) -> Array:
    """Response of x' = -x + J x to a kick at time zero, averaged over neurons.

    Parameters
    ----------
    times
        Lags; the response vanishes at negative ones.
    gain
        g φ'(0): spread of the couplings.
    symmetry
        η = corr(J_ij, J_ji) in [-1, 1].

    Returns
    -------
    ndarray
        R(t) = exp(-t) I₁(2 g √η t)/(g √η t); J₁ with √|η| for η < 0; exp(-t) for η = 0.

    Raises
    ------
    InputError
        A number out of its range.
    """
    _check("linear_response", gain, symmetry)
    t = array("linear_response", "times", times)
    past = np.maximum(t, 0.0)
    argument = 2 * gain * math.sqrt(abs(symmetry)) * past
    small = argument < 1e-6
    safe = np.where(small, 1.0, argument)
    if symmetry >= 0:
        # ive = exp(-x) I₁(x): the exponentials together cannot overflow
        shape = np.where(small, np.exp(-past), 2 * ive(1, safe) / safe * np.exp(safe - past))
    else:
        shape = np.exp(-past) * np.where(small, 1.0, 2 * jv(1, safe) / safe)
    return np.asarray(np.where(t >= 0, shape, 0.0))


def linear_variance(gain: float, *, symmetry: float = 0.0, noise: float = 1.0) -> float:
    """Stationary variance of the linear network x' = -x + J x + ξ.

    Parameters
    ----------
    gain
        g φ'(0), below 1/(1 + η).
    symmetry
        η = corr(J_ij, J_ji) in (-1, 1].
    noise
        σ², ⟨ξ(t) ξ(t')⟩ = σ² δ(t - t').

    Returns
    -------
    float
        ∫ dω/2π σ² |R|²/(1 - g² |R|²), R(ω) solving R (1 + iω - g² η R) = 1; for η = 0 it is
        σ²/(2 √(1 - g²)).

    Raises
    ------
    InputError
        An unstable network, or a number out of its range.
    """
    _check("linear_variance", gain, symmetry)
    inside("linear_variance", "noise", noise, 0)
    if gain * (1 + symmetry) >= 1:
        raise InputError("linear_variance", found=f"gain {gain}, symmetry {symmetry}",
                         expected="gain (1 + symmetry) < 1: beyond it the variance is infinite")
    # ω = tan(θ) takes the whole axis to an interval on which the integrand is smooth and periodic
    count = 4096
    angle = math.pi * ((np.arange(count) + 0.5) / count - 0.5)
    root = 1 + 1j * np.tan(angle)
    strength = gain**2 * symmetry
    response = 2 / (root + np.sqrt(root**2 - 4 * strength))
    power = np.abs(response) ** 2
    integrand = power / (1 - gain**2 * power) / np.cos(angle) ** 2
    return float(noise * integrand.mean() / 2)


def _check(operation: str, gain: float, symmetry: float) -> None:
    inside(operation, "gain", gain, 0)
    inside(operation, "symmetry", symmetry, -1, 1)
