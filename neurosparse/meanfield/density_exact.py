"""Lyapunov spectra of infinite networks in closed form.

Two cases are exact. Where the slope of a neuron is forgotten in one step (map, δ = 1, no frozen
part) the tangent map is a product of independent J diag(d), and where it never changes (rest
state, fixed point) it is a constant matrix whose eigenvalues fill a disk. Both need the same law,
that of the moduli of J diag(d): with v in (0, ∞),

    1 - F = ⟨v d²/(1 + v d²)⟩,     r² = g² ⟨d²/(1 + v d²)⟩,

F being the share of moduli below r. For d = 1 it is the circular law, F = r²/g².
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.gains import Gain
from neurosparse.meanfield.checks import array, inside
from neurosparse.meanfield.quadrature import panels, trapezoid

Array = NDArray[np.float64]


def radial_law(phi: Gain, variance: float, gain: float, *, mean: float = 0.0,
               points: int = 4001) -> tuple[Array, Array]:
    """Moduli of J diag(φ'(x)), x ~ N(mean, variance) independent over neurons.

    Parameters
    ----------
    phi, gain, variance, mean
        φ, g, and the Gaussian input.
    points
        Length of the returned table.

    Returns
    -------
    share, radius
        Rising; ``share`` is F at ``radius``. The first radius is 0 where every neuron has a slope.
    """
    if phi.kinks and variance > 0:
        nodes, weights = panels(tuple((k - mean) / math.sqrt(variance) for k in phi.kinks))
    else:
        step = 0.125 / 2 ** max(0, math.ceil(math.log2(max(1e-9, math.sqrt(variance)))))
        nodes, weights = trapezoid(step)
    squared = phi.slope(mean + math.sqrt(variance) * nodes) ** 2
    # v from where F is 1 to where it is 0, dense in both
    scale = float(weights @ squared)
    v = np.concatenate([[0.0], np.geomspace(1e-9, 1e9, points - 1) / (scale or 1.0)])[::-1]
    share, moduli = np.empty(points), np.empty(points)
    for start in range(0, points, 256):
        part = v[start : start + 256, None]
        below = 1 / (1 + part * squared[None, :])
        share[start : start + 256] = below @ weights
        moduli[start : start + 256] = (squared[None, :] * below) @ weights
    return np.minimum(share, 1.0), gain * np.sqrt(moduli)


def memoryless_share(s: Array, law: tuple[Array, Array]) -> Array:
    """F(s) of the map with δ = 1 whose slopes are independent in time: r = e^s."""
    share, radius = law
    with np.errstate(divide="ignore"):
        # ln r against ln F: straight where the law is the circular one
        return np.where(
            s >= math.log(radius[-1]), 1.0,
            np.exp(np.interp(s, np.log(radius[radius > 0]), np.log(share[radius > 0]))))


def frozen_share(s: Array, law: tuple[Array, Array], delta: float | None) -> Array:
    """F(s) of a constant tangent map, from the moduli of J diag(d) with phases uniform.

    An eigenvalue r e^(iθ) makes the exponent -1 + r cos θ of the flow, or
    ln|1 - δ + δ r e^(iθ)| / δ of the map, δ < 1; for d = 1 the flow's is the semicircle law.
    """
    share, radius = law
    # means of the radius over equal steps of the share
    grid = (np.arange(2000) + 0.5) / 2000
    r = np.maximum(np.sqrt(np.interp(grid, share, radius**2)), 1e-150)
    s = np.asarray(s, dtype=np.float64)
    out = np.empty(s.shape)
    for place, value in np.ndenumerate(s):
        if delta is None:
            cosine = (1 + value) / r
        else:
            b = 1 - delta
            cosine = (math.exp(2 * value * delta) - b * b - (delta * r) ** 2) / (2 * b * delta * r)
        out[place] = float(np.mean(1 - np.arccos(np.clip(cosine, -1, 1)) / math.pi))
    return out


def semicircle_share(s: Array, radius: float) -> Array:
    """F(s) of the semicircle law centred at -1: the flow's rest state below the critical gain.

    Raises
    ------
    InputError
        No array of numbers, or a radius that is not positive.
    """
    inside("semicircle_share", "radius", radius, 0, open_low=True)
    c = np.clip((1 + array("semicircle_share", "s", s)) / radius, -1, 1)
    return np.asarray(1 - np.arccos(c) / math.pi + c * np.sqrt(1 - c * c) / math.pi)
