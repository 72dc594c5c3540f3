"""The operators on the lag axis whose ground state gives the largest Lyapunov exponent.

Two copies of the network that differ little (Sompolinsky, Crisanti and Sommers 1988; for the map
Clark, arXiv:2610.12426): with K(τ) = ⟨φ'(x(t)) φ'(x(t+τ))⟩,

    flow   (1 + λ)² = 1 - E₀,  E₀ the lowest value of  -∂² + 1 - g² K(τ);
    map    the largest s at which  e^(2sδ) + b² - b e^(sδ) (S + S⁻¹) - δ² g² K  has the value zero.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eig_banded, eigh_tridiagonal
from scipy.optimize import brentq

Array = NDArray[np.float64]

_ORDER = 12  # of the polynomials in an element


def lobatto(order: int) -> tuple[Array, Array, Array]:
    """Gauss-Lobatto nodes and weights on [-1, 1], and the differentiation matrix."""
    legendre = np.polynomial.legendre.Legendre.basis(order)
    nodes = np.concatenate([[-1.0], np.sort(legendre.deriv().roots().real), [1.0]])
    at_nodes = legendre(nodes)
    weights = 2 / (order * (order + 1) * at_nodes**2)
    gaps = nodes[:, None] - nodes[None, :] + np.eye(order + 1)
    derivative = at_nodes[:, None] / (at_nodes[None, :] * gaps)
    np.fill_diagonal(derivative, 0.0)
    derivative[0, 0], derivative[-1, -1] = -order * (order + 1) / 4, order * (order + 1) / 4
    return nodes, weights, derivative


def half_line_energies(well: Callable[[Array], Array], edges: Array) -> tuple[float, float]:
    """Lowest even and lowest odd value of -∂² + well(|τ|), by spectral elements on τ >= 0.

    Parameters
    ----------
    well
        Smooth on τ >= 0; a kink at zero (white noise makes one) does no harm.
    edges
        Ends of the elements, from 0 to where the well has flattened.

    Returns
    -------
    even, odd
        The even ground state and the first odd state.
    """
    nodes, weights, derivative = lobatto(_ORDER)
    size = _ORDER * (len(edges) - 1) + 1
    bands = np.zeros((_ORDER + 1, size))  # lower form
    mass, place = np.zeros(size), np.zeros(size)
    stiff = derivative.T @ (weights[:, None] * derivative)
    for number, (low, high) in enumerate(itertools.pairwise(edges.tolist())):
        half, first = 0.5 * (high - low), number * _ORDER
        mass[first : first + _ORDER + 1] += half * weights
        place[first : first + _ORDER + 1] = 0.5 * (low + high) + half * nodes
        for offset in range(_ORDER + 1):
            columns = slice(first, first + _ORDER + 1 - offset)
            bands[offset, columns] += np.diagonal(stiff, -offset) / half
    root = np.sqrt(mass)
    for offset in range(_ORDER + 1):
        bands[offset, : size - offset] /= root[: size - offset] * root[offset:]
    bands[0] += well(place)
    options = {"lower": True, "eigvals_only": True, "select": "i", "select_range": (0, 0)}
    even = float(eig_banded(bands, **options)[0])
    odd = float(eig_banded(bands[:, 1:], **options)[0])
    return even, odd


def element_edges(first: float, reach: float, growth: float = 1.2) -> Array:
    """Ends of elements that begin with width ``first`` and widen by ``growth`` each."""
    count = math.ceil(math.log1p((growth - 1) * max(reach / first, 1.0)) / math.log(growth))
    edges = np.cumsum(np.concatenate([[0.0], growth ** np.arange(count)]))
    return np.asarray(edges * reach / edges[-1])


def map_exponent(gain: float, delta: float, slopes: Array) -> float:
    """λ_max of the map from K at lags 0, 1, 2, ...; flat beyond the last."""
    if delta == 1.0:
        top = float(slopes.max())
        return float(math.log(gain) + 0.5 * math.log(top)) if gain > 0 and top > 0 else -math.inf
    b = 1 - delta
    well = (delta * gain) ** 2 * slopes
    if np.ptp(slopes) <= 1e-15 * abs(slopes[0]):
        # a flat well: the band edge, e^(sδ) = b + δ g √K
        return math.log(b + math.sqrt(well[0])) / delta

    def lowest(s: float) -> float:
        factor = math.exp(s * delta)
        diagonal = factor**2 + b * b - well
        beside = np.full(len(slopes) - 1, -b * factor)
        beside[0] *= math.sqrt(2.0)  # the even states on the half line
        diagonal[-1] -= b * factor
        return float(eigh_tridiagonal(diagonal, beside, eigvals_only=True, select="i",
                                      select_range=(0, 0))[0])

    # between the uncoupled exponent and that of the deepest part of the well everywhere
    low, high = math.log(b) / delta, math.log(b + math.sqrt(well.max())) / delta
    return float(brentq(lowest, low, high + 1e-9, xtol=1e-14, rtol=1e-14))
