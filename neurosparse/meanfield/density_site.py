"""The single-site theory of the whole Lyapunov spectrum (Clark, arXiv:2610.12426).

For a threshold s the tangent dynamics shifted by s, M - s, is bounded in the future along the
exponents below s and in the past along those above. A regularised forward-backward problem picks
both out, and its site-averaged response at equal times is F(s), the share of exponents below s. At
infinite size one neuron remains, with its fluctuating slope d(t) = φ'(x(t)) on a periodic window,
and three stationary kernels given by their symbols on the window's frequencies w:

    Q = [η + γ d P d + |L|²/A]⁻¹,      V = ⟨Q⟩,
    A = η + γ ⟨d Q d⟩,                 P = (1 - |L|² V / A) / A,

where ⟨.⟩ averages over d and keeps the stationary part. The last line is Woodbury's identity for
the paper's second inverse, [A + L (η + γ d P d)⁻¹ L†]⁻¹, so one inverse a path is enough.

    flow   L = ∂ + s + 1,             γ = g²,               F = 1/2 + ∫ dw/2π (s + 1) V / A
    map    L = e^(iw) - α,            γ = (δ g e^(-sδ))²,   F = ∫ dw/2π V (η + (1 - α cos w)/A)

with α = (1-δ) e^(-sδ), and η -> 0+ at the end. The window may close on itself with either sign;
the mean of the two removes the first image of the window, in real arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from neurosparse.errors import InputError
from neurosparse.meanfield.anderson import Anderson

Array = NDArray[np.float64]

_LARGEST_STEP = 2.0  # of a logarithm, in one iteration


@dataclass(frozen=True, eq=False)
class SiteProblem:
    """One threshold, one regulator, one sign of the window's closing.

    Attributes
    ----------
    distance
        [m] symbol of |L|².
    strength
        γ.
    regulator
        η.
    readout, readout_bare, offset
        F = offset + Σ (V (η' + readout/A) - readout_bare), with η' = η ``weight`` for maps.
    frequencies
        [m] phase a grid step, in radians.
    """

    distance: Array
    strength: float
    regulator: float
    readout: Array
    readout_bare: Array
    offset: float
    weight: float
    frequencies: Array


def ring_frequencies(points: int, sign: int) -> Array:
    """Phases a step [m] of a periodic (+1) or antiperiodic (-1) window."""
    half = 0.0 if sign > 0 else 0.5
    return np.asarray(2 * math.pi * (np.fft.fftfreq(points, 1 / points) + half) / points)


def flow_problem(s: float, gain: float, window: float, points: int, regulator: float,
                 sign: int) -> SiteProblem:
    """The problem of the flow; ``regulator`` per unit of time."""
    phases = ring_frequencies(points, sign)
    a = s + 1
    distance = a * a + (phases * points / window) ** 2
    # the slowly converging tail is that of the uncoupled neuron, whose ring sum is known
    closed = 0.5 * math.tanh(a * window / 2) ** (-sign) if a else 0.0
    return SiteProblem(distance, gain**2, regulator, np.full(points, a / window),
                       a / window / np.maximum(distance, 1e-300), 0.5 + closed, 0.0, phases)


def map_problem(s: float, gain: float, delta: float, points: int, regulator: float,
                sign: int) -> SiteProblem:
    """The problem of the map; ``regulator`` per unit of time, as that of the flow."""
    phases = ring_frequencies(points, sign)
    alpha, beta = (1 - delta) * math.exp(-s * delta), delta * math.exp(-s * delta)
    distance = 1 + alpha**2 - 2 * alpha * np.cos(phases)
    readout = (1 - alpha * np.cos(phases)) / points
    return SiteProblem(distance, (beta * gain) ** 2, delta * regulator, readout,
                       np.zeros(points), 0.0, 1 / points, phases)


@dataclass(frozen=True, eq=False)
class SiteSolution:
    """Symbols [m] of A and P, the share F below the threshold, and how well it is solved."""

    a: Array
    p: Array
    share: float
    residual: float
    sweeps: int


def solve_site(slopes: Array, weights: Array, problem: SiteProblem, *,
               start: tuple[Array, Array] | None = None, tolerance: float = 1e-6,
               sweeps: int = 300) -> SiteSolution:
    """Iterate the kernels to their fixed point.

    Parameters
    ----------
    slopes
        [paths, m] d on the window.
    weights
        [paths], summing to one.
    problem
        Threshold, regulator, window.
    start
        Symbols (A, P) to begin from; the uncoupled neuron's where None.
    tolerance
        Largest change of a logarithm in a sweep, of P's weighed by its share of the largest.
    sweeps
        At most so many.

    Returns
    -------
    SiteSolution
        ``residual`` above ``tolerance`` says that it is not converged.
    """
    eta = problem.regulator
    if start is None:
        p = eta / (eta**2 + problem.distance)
        a = eta + problem.strength * float(weights @ (slopes**2).mean(axis=1)) * p
    else:
        a, p = start[0].copy(), start[1].copy()
    count = p.size
    mixer, best, residual, share = Anderson(depth=6), math.inf, math.inf, math.nan
    for number in range(1, sweeps + 1):
        a_new, p_new, v = sweep(slopes, weights, problem, a, p)
        terms = v * (eta * problem.weight + problem.readout / a_new) - problem.readout_bare
        share = problem.offset + float(terms.sum())
        # Tr P = Tr V at every solution; imposed, it removes the slow mode A -> cA, P -> P/c
        scale = math.sqrt(v.sum() / p_new.sum())
        p_new, a_new = p_new * scale, eta + (a_new - eta) / scale
        point = np.log(np.concatenate([p, a - eta]))
        image = np.log(np.concatenate([p_new, np.maximum(a_new - eta, 1e-300)]))
        # fast components of P are the small difference of large numbers, and too small to matter:
        # each counts by its share of the largest
        weight = np.concatenate([p / p.max(), np.ones(count)])
        residual = float((np.abs(image - point) * weight).max())
        if residual < tolerance:
            return SiteSolution(a_new, p_new, share, residual, number)
        if residual > 10 * best:
            mixer = Anderson(depth=6)  # the history misleads
        best = min(best, residual)
        following = mixer.step(point, image, weight)
        following = point + np.clip(following - point, -_LARGEST_STEP, _LARGEST_STEP)
        p, a = np.exp(following[:count]), eta + np.exp(following[count:])
    return SiteSolution(a, p, share, residual, sweeps)


def sweep(slopes: Array, weights: Array, problem: SiteProblem, a: Array,
          p: Array) -> tuple[Array, Array, Array]:
    """Evaluate the kernels' right-hand sides once: (A, P, V).

    Raises
    ------
    InputError
        A matrix that should be positive is not: the iteration has left the physical branch.
    """
    m = p.size
    lags = np.arange(m)
    waves = np.cos(problem.frequencies[:, None] * lags[None, :])  # [k, lag]
    separation = np.abs(lags[:, None] - lags[None, :])
    inner = (problem.strength * p @ waves / m)[separation]
    bare = (problem.distance / a @ waves / m)[separation]
    bare[lags, lags] += problem.regulator
    bare, inner = np.asfortranarray(bare), np.asfortranarray(inner)
    sum_q, sum_a = np.zeros((m, m), order="F"), np.zeros((m, m), order="F")
    matrix, outer = np.empty((m, m), order="F"), np.empty((m, m), order="F")
    for d, part in zip(slopes, weights, strict=True):
        np.multiply(d[:, None], d[None, :], out=outer)
        np.multiply(outer, inner, out=matrix)
        matrix += bare
        factor, failed = dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
        inverse, failed_too = dpotri(factor, lower=1, overwrite_c=1)
        if failed or failed_too:
            raise InputError("spectrum_density", found="a kernel that is not positive",
                             expected="the positive branch", mend="Take a larger regulator.")
        # only the lower triangle is meant from here on
        inverse *= part
        sum_q += inverse
        np.multiply(outer, inverse, out=outer)
        sum_a += outer
    v = _symbol(sum_q, waves)
    a_new = problem.regulator + problem.strength * _symbol(sum_a, waves)
    # Woodbury's identity holds for any weights, since A enters as a symbol
    p_new = np.maximum(1 - problem.distance * v / a, 1e-300) / a
    return a_new, p_new, v


def _symbol(matrix: Array, waves: Array) -> Array:
    """Symbol of the stationary part of a symmetric matrix given by its lower triangle."""
    m = matrix.shape[0]
    lower = np.tril(matrix)
    # row n - lag, so that a column sum runs along a diagonal
    shifted = np.zeros((m, m))
    rows, columns = np.tril_indices(m)
    shifted[columns, rows - columns] = lower[rows, columns]
    sums = 2 * shifted.sum(axis=0)
    sums[0] /= 2
    return np.asarray(waves @ sums / m)
