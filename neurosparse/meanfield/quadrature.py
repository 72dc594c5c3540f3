"""Averages over one Gaussian variable and over two correlated ones.

A smooth integrand gets the trapezoid rule, which converges exponentially in the step for a
function analytic in a strip; the step is halved until nothing changes. A gain with kinks (ReLU)
gets Gauss-Legendre panels that end at the kinks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

REACH = 9.0  # standard deviations; exp(-81/2) is below 3e-18
_AGREE = 1e-13  # relative change at which the halving stops
_HALVINGS = 11
_PAIR_NODES = 3000  # a side of the largest two-dimensional grid


def average(f: Function, variance: float = 1.0, mean: float = 0.0, *,
            kinks: tuple[float, ...] = ()) -> float:
    """⟨f(x)⟩ for x ~ N(mean, variance).

    Parameters
    ----------
    f
        Vectorised function; its values must not outgrow exp(x²/2) of the standardised variable.
    variance, mean
        Of the Gaussian; a variance of zero gives f(mean).
    kinks
        Points where f or a derivative of it jumps.

    Returns
    -------
    float
        With error below 1e-10 of the integrand's size for smooth gains.

    Raises
    ------
    InputError
        The variance is negative or not finite; or f is not smooth and no kinks are given.
    """
    variance, mean = _checked(variance, mean, "average")
    if variance == 0:
        return float(np.asarray(f(np.array([mean])))[0])
    sigma = math.sqrt(variance)
    if kinks:
        nodes, weights = panels(tuple((k - mean) / sigma for k in kinks))
        return float(weights @ f(mean + sigma * nodes))
    step = 0.25
    nodes, weights = trapezoid(step)
    last = float(weights @ f(mean + sigma * nodes))
    for _ in range(_HALVINGS):
        # the points between: the finer rule is the mean of the two
        between = np.arange(-REACH + step / 2, REACH, step)
        values = np.asarray(f(mean + sigma * between))
        density = np.exp(-0.5 * between * between) * (step / math.sqrt(2 * math.pi))
        other, size = float(density @ values), float(density @ np.abs(values))
        now, step = 0.5 * (last + other), step / 2
        if abs(now - last) <= _AGREE * size or size == 0.0:
            return now
        last = now
    raise InputError("average", found="an integrand that the trapezoid rule does not resolve",
                     expected="a smooth function", mend="Give its kinks with kinks=(...).")


def pair_average(f: Function, g: Function, variance: float, covariance: ArrayLike, *,
                 mean: float = 0.0, kinks: tuple[float, ...] = ()) -> Array:
    """⟨f(x) g(y)⟩ for x, y Gaussian of equal variance and mean.

    Parameters
    ----------
    f, g
        Vectorised functions with the same kinks.
    variance
        Of x and of y.
    covariance
        Of x with y, any shape; its size at most the variance.
    mean
        Of x and of y.
    kinks
        Points where f or g, or a derivative, jumps.

    Returns
    -------
    ndarray
        One average for each covariance, of its shape (a 0-d array for a number).

    Raises
    ------
    InputError
        A covariance larger than the variance; bad numbers; f or g not smooth and no kinks given.
    """
    variance, mean = _checked(variance, mean, "pair_average")
    asked = array("pair_average", "covariance", covariance)
    if not np.all(np.abs(asked) <= variance * (1 + 1e-12)):
        raise InputError("pair_average", found=f"covariance up to {np.abs(asked).max():.6g}",
                         expected=f"at most the variance {variance:.6g} in size")
    out = np.empty(asked.shape)
    for place, value in np.ndenumerate(asked):
        rho = 1.0 if variance == 0 else float(np.clip(value / variance, -1.0, 1.0))
        out[place] = _pair(f, g, math.sqrt(variance), rho, mean, kinks)
    return out


def _pair(f: Function, g: Function, sigma: float, rho: float, mean: float,
          kinks: tuple[float, ...]) -> float:
    if rho == 1.0 or sigma == 0.0:
        return average(lambda x: f(x) * g(x), sigma**2, mean, kinks=kinks)
    if rho == -1.0:
        mirrored = kinks + tuple(2 * mean - k for k in kinks)
        return average(lambda x: f(x) * g(2 * mean - x), sigma**2, mean, kinks=mirrored)
    if kinks:
        return _pair_kinked(f, g, sigma, rho, mean, kinks)
    # x and y share the part sqrt|rho| z; given z they are independent
    shared, own = math.sqrt(abs(rho)), math.sqrt(1 - abs(rho))
    sign = math.copysign(1.0, rho)
    last, step = math.nan, 0.25
    while 2 * REACH / step < _PAIR_NODES:
        z, weights = trapezoid(step)
        inside = mean + sigma * (shared * z[:, None] + own * z[None, :])
        values = f(inside)
        left = values @ weights
        right = left if f is g and sign > 0 else g(
            inside if sign > 0 else mean + sigma * (own * z[None, :] - shared * z[:, None])
        ) @ weights
        now = float(weights @ (left * right))
        # the scale is ⟨|f|⟩⟨|g|⟩: at covariance zero the average itself may vanish
        size = float(weights @ (np.abs(values) @ weights))
        size *= float(weights @ np.abs(g(mean + sigma * z)))
        if abs(now - last) <= 1e-12 * size or size == 0.0:
            return now
        last, step = now, step / 2
    raise InputError("pair_average", found="an integrand that the trapezoid rule does not resolve",
                     expected="smooth functions", mend="Give their kinks with kinks=(...).")


def _pair_kinked(f: Function, g: Function, sigma: float, rho: float, mean: float,
                 kinks: tuple[float, ...]) -> float:
    own = math.sqrt(1 - rho * rho)
    places = [(k - mean) / sigma for k in kinks]
    # E[g(y) | x] bends within a width `own` of the kink's image: panels graded towards it
    cuts: set[float] = set(places)
    for k in places:
        centre = k / rho if rho else k
        width = own / abs(rho) if rho else 1.0
        cuts.update(centre + side * width * 2.0**j for side in (-1, 1) for j in range(-1, 5))
        cuts.add(centre)
    x, weights = panels(tuple(sorted(cuts)))
    inner_total = np.zeros_like(x)
    unit, unit_weights = _legendre(48)
    edges = [np.full_like(x, -REACH)]
    edges += [np.clip((k - rho * x) / own, -REACH, REACH) for k in sorted(places)]
    edges.append(np.full_like(x, REACH))
    for low, high in itertools.pairwise(edges):
        half = 0.5 * (high - low)[:, None]
        w = 0.5 * (high + low)[:, None] + half * unit[None, :]
        density = np.exp(-0.5 * w * w) / math.sqrt(2 * math.pi)
        values = g(mean + sigma * (rho * x[:, None] + own * w))
        inner_total += (half * density * values) @ unit_weights
    return float(weights @ (f(mean + sigma * x) * inner_total))


@lru_cache(maxsize=32)
def trapezoid(step: float) -> tuple[Array, Array]:
    """Nodes and weights of the standard Gaussian measure on ±9 with an even step."""
    nodes = np.arange(-REACH, REACH + step / 2, step)
    weights = np.exp(-0.5 * nodes * nodes) * (step / math.sqrt(2 * math.pi))
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


@lru_cache(maxsize=64)
def panels(cuts: tuple[float, ...], width: float = 0.5) -> tuple[Array, Array]:
    """Nodes and weights of the standard Gaussian measure by panels that end at ``cuts``."""
    unit, unit_weights = _legendre(20)
    inside = sorted({c for c in cuts if -REACH < c < REACH})
    ends = [-REACH, *inside, REACH]
    edges = np.concatenate([
        np.linspace(a, b, max(1, math.ceil((b - a) / width)) + 1)[:-1]
        for a, b in itertools.pairwise(ends)] + [np.array([REACH])])
    half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    nodes = (middle[:, None] + half[:, None] * unit[None, :]).ravel()
    weights = (half[:, None] * unit_weights[None, :]).ravel()
    weights = weights * np.exp(-0.5 * nodes * nodes) / math.sqrt(2 * math.pi)
    return nodes, weights


@lru_cache(maxsize=8)
def _legendre(order: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return nodes, weights


def _checked(variance: float, mean: float, operation: str) -> tuple[float, float]:
    return inside(operation, "variance", variance, 0), inside(operation, "mean", mean)
