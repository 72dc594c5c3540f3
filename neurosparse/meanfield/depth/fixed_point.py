"""Where variance and correlation settle with depth, and how many blocks that takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import inside
from neurosparse.meanfield.depth.block import Block

Status = Literal["stable", "marginal", "unbounded"]

_FLOOR = 1e-12
"""Below this variance a map that keeps zero has fallen to zero."""
_CEILING = 1e15
"""Above this variance the map has no fixed point that a network could hold."""


@dataclass(frozen=True)
class DepthFixedPoint:
    """The state that a stack of equal blocks approaches.

    Attributes
    ----------
    variance
        q*; 0 or infinite where the signal dies or grows without end.
    chi_1
        χ_1 = σ_w² ⟨φ'²⟩ at q*: below 1 ordered, above 1 chaotic for a plain layer.
    exponent
        Depth exponent ½ ln(mean-square gain) at q*, nats a block (½ ln χ_1 for a plain layer).
    correlation
        c*, the stable fixed point of the correlation map; NaN at q* = 0 or infinity, where there
        is none.
    variance_depth, correlation_depth
        ξ_q and ξ_c, blocks in which the distance to q* and c* falls by e; ξ = -1/ln|slope|.
        Infinite where the approach is slower than exponential. At q* = 0 the ξ_c is that of the
        covariance.
    status
        ``"stable"``; ``"marginal"``: dq'/dq = 1, so q* is the start itself (ReLU at σ_w² = 2) or
        is approached like a power; ``"unbounded"``: q grows without end.
    """

    variance: float
    chi_1: float
    exponent: float
    correlation: float
    variance_depth: float
    correlation_depth: float
    status: Status


def depth_fixed_point(block: Block, *, start: float = 1.0) -> DepthFixedPoint:
    """q*, c*, χ_1 and the depth scales of equal blocks (Poole 2016; Schoenholz 2017).

    Parameters
    ----------
    block
        A plain, residual or normalised block.
    start
        Variance of the input, > 0; the fixed point next to it in the direction of the map is
        taken. It matters only for gains with several.

    Raises
    ------
    InputError
        The start is not a positive number, or ``block`` no Block.
    """
    if not isinstance(block, Block):
        raise InputError("depth_fixed_point", found=f"block {block!r}", expected="a Block")
    inside("depth_fixed_point", "start", start, 0, open_low=True)
    q = _variance(block, start)
    if math.isinf(q):
        limit = block.skip**2 if block.norm == "pre" else _gain_at_infinity(block)
        return DepthFixedPoint(q, math.nan if block.norm == "pre" else _chi_at_infinity(block),
                               0.5 * math.log(limit) if limit > 0 else math.nan,
                               math.nan, math.inf, math.inf, "unbounded")
    slope = block.variance_slope(q)
    status: Status = "marginal" if abs(slope - 1) < 1e-9 else "stable"
    if q == 0:
        # Without variance there is no norm before the branch, hence gain and slope are one.
        return DepthFixedPoint(0.0, block.chi(0.0), block.exponent(0.0), math.nan,
                               depth_scale(slope), depth_scale(block.gain(0.0)), status)
    c = _correlation(block, q)
    return DepthFixedPoint(q, block.chi(q), block.exponent(q), c, depth_scale(slope),
                           depth_scale(block.correlation_slope(c, q)), status)


def depth_scale(slope: float) -> float:
    """ξ = -1/ln|slope|: infinite at 1 (and beyond, where nothing relaxes), 0 at 0.

    Raises
    ------
    InputError
        ``slope`` is not a finite number.
    """
    size = abs(inside("depth_scale", "slope", slope))
    if size == 0:
        return 0.0
    return -1 / math.log(size) if size < 1 - 1e-12 else math.inf


def _variance(block: Block, start: float) -> float:
    """Fixed point of the variance map next to ``start``, on the side the map moves to."""
    if block.norm == "post":
        return block.norm_scale**2

    def excess(q: float) -> float:
        return block.variance_map(q) / q - 1

    first = excess(start)
    if abs(first) < 4e-16:
        return start
    if first > 0 and abs(block.skip) >= 1:
        # The branch only adds.
        return math.inf
    factor = 1.25 if first > 0 else 0.8
    here, there = start, start * factor
    while _FLOOR < there < _CEILING:
        if excess(there) * first <= 0:
            return root(excess, min(here, there), max(here, there))
        here, there = there, there * factor
    return math.inf if first > 0 else 0.0


def _correlation(block: Block, variance: float) -> float:
    """Stable fixed point of the correlation map.

    The map is convex on [0, 1] and ends at (1, 1): c* = 1 if its slope there is at most one, and
    otherwise the one crossing before. h = (1 - c')/(1 - c) - 1 grows with c and has no zero at 1.
    """
    if block.correlation_slope(1.0, variance) <= 1 + 1e-12:
        return 1.0

    def distance(c: float) -> float:
        return (1 - block.correlation_map(c, variance)) / (1 - c) - 1

    if block.correlation_map(0.0, variance) < 1e-12:
        return 0.0
    high = 1 - 1e-7
    return root(distance, 0.0, high) if distance(high) > 0 else 1.0


def _chi_at_infinity(block: Block) -> float:
    """χ where the variance grows without end, for gains whose ends are known to be straight."""
    name = block.moments.phi.name
    if name in ("relu", "linear"):
        return block.chi(1.0)
    return 0.0 if name in ("tanh", "erf", "sigmoid") else math.nan


def _gain_at_infinity(block: Block) -> float:
    return block.skip**2 + block.branch**2 * _chi_at_infinity(block)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Brent's root to machine precision."""
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-300, rtol=8.9e-16, maxiter=300))
