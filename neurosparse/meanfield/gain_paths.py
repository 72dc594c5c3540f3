"""Sample paths of the slope d(t) = φ'(x(t)) of a neuron on a periodic window."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.gains import Gain
from neurosparse.meanfield.pair_kernel import pair_kernel
from neurosparse.meanfield.quadrature import average
from neurosparse.meanfield.solution import StationarySolution

Array = NDArray[np.float64]


def slope_paths(state: StationarySolution, phi: Gain, *, points: int, step: float, paths: int,
                mean: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    """Draw slopes along Gaussian paths with the stationary autocovariance, and weigh them.

    The window closes on itself: its covariance is the sum of the autocovariance over all images,
    which keeps the power spectrum positive. Coordinates are those of a scrambled Sobol sequence,
    the first going to the frequencies of largest power.

    Parameters
    ----------
    state
        Stationary solution.
    phi
        The gain it was made with.
    points, step
        Grid of the window.
    paths
        How many; a power of two.
    mean
        Mean of the input.
    seed
        Of the scrambling.

    Returns
    -------
    slopes, weights
        [paths, points], and [paths] that sum to one.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    lags = step * np.arange(points)
    window = points * step
    fall = state.at(lags) - state.plateau
    for image in range(1, 200):
        more = state.at(lags + image * window) + state.at(np.abs(lags - image * window))
        fall = fall + more - 2 * state.plateau
        if np.abs(more - 2 * state.plateau).max() < 1e-13 * state.variance:
            break
    power = np.maximum(np.fft.fft(fall).real, 0.0)
    # a real orthonormal Fourier basis: cosine and sine of a frequency share its power
    basis, weight = _fourier_basis(points, power)
    order = np.argsort(-weight, kind="stable")
    # `seed` rather than `rng`: SciPy before 1.15 knows only that name
    uniform = qmc.Sobol(points + 1, scramble=True, seed=np.random.default_rng(seed)).random(paths)
    normal = ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
    scaled = normal[:, 1:] * np.sqrt(weight[order])
    x = mean + scaled @ basis[order] + math.sqrt(max(state.plateau, 0.0)) * normal[:, :1]
    slopes = phi.slope(x)
    variance = float(fall[0]) + max(state.plateau, 0.0)
    kernel = pair_kernel(phi, variance, mean)
    kept = np.unique(np.concatenate([[0], 2 ** np.arange(int(math.log2(points / 2)) + 1)]))
    exact = kernel.slope(np.clip((fall[kept] + max(state.plateau, 0.0)) / variance, -1, 1))
    features = [slopes.mean(axis=1), (slopes**4).mean(axis=1)]
    targets = [average(phi.slope, variance, mean, kinks=phi.kinks),
               average(lambda y: phi.slope(y) ** 4, variance, mean, kinks=phi.kinks)]
    features += [(slopes * np.roll(slopes, lag, axis=1)).mean(axis=1) for lag in kept]
    return slopes, _tilt(np.stack(features), np.concatenate([targets, exact]))


def _tilt(features: Array, targets: Array) -> Array:
    """Weights w ∝ exp(λ·f) [paths] with Σ w f = targets; even ones where no λ does it."""
    count = features.shape[1]
    scale = features.std(axis=1)
    if scale.max() < 1e-12:
        return np.full(count, 1 / count)
    used = scale > 1e-9 * scale.max()
    centred = (features[used] - targets[used, None]) / scale[used, None]
    # the features are nearly collinear: only the combinations in which paths differ much
    values, vectors = np.linalg.eigh(np.cov(centred))
    keep = values > 0.02 * values.max()
    centred = (vectors[:, keep] / np.sqrt(values[keep])).T @ centred
    tilt = np.zeros(len(centred))
    for _ in range(50):
        exponent = tilt @ centred
        weights = np.exp(exponent - exponent.max())
        weights /= weights.sum()
        moment = centred @ weights
        if np.abs(moment).max(initial=0.0) < 1e-12:
            return np.asarray(weights)
        spread = (centred * weights) @ centred.T - np.outer(moment, moment)
        step = np.linalg.lstsq(spread, -moment, rcond=1e-10)[0]
        tilt = tilt + step * min(1.0, 1.0 / (np.abs(step).max() + 1e-300))
    return np.full(count, 1 / count)


def _fourier_basis(points: int, power: Array) -> tuple[Array, Array]:
    """Orthonormal real Fourier vectors [points, points] (rows) and the power of each."""
    n = np.arange(points)
    rows, weight = [], []
    for k in range(points // 2 + 1):
        angle = 2 * math.pi * k * n / points
        single = k == 0 or 2 * k == points
        factor = math.sqrt((1 if single else 2) / points)
        rows.append(factor * np.cos(angle))
        weight.append(power[k])
        if not single:
            rows.append(factor * np.sin(angle))
            weight.append(power[k])
    return np.array(rows), np.array(weight)
