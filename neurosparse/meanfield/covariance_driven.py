"""The stationary state under a sinusoidal input with a random phase for each neuron.

x = η + a cos(ω t + θ) with η Gaussian of autocovariance Δ and a = A/√(1 + ω²) (Rajan, Abbott and
Sompolinsky 2010). The average over θ makes ⟨φφ⟩ depend on the lag by itself, not only through
Δ(τ), so no energy is conserved; the equation Δ'' = Δ - g² ⟨φφ⟩ - σ² δ(τ) is iterated on a ring
of whole periods, with Anderson's acceleration. With c_n(θ) the Hermite coefficients at mean
a cos θ and ĉ_nm their Fourier coefficients, ⟨φφ⟩(τ) = Σ_n ρ(τ)ⁿ Σ_m |ĉ_nm|² cos(m ω τ).

Inside this module a covariance is Δ, that of η; the solution holds that of x, which has the
sinusoid's own a² cos(ω τ)/2 besides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from neurosparse.errors import InputError
from neurosparse.meanfield.anderson import Anderson
from neurosparse.meanfield.covariance_flow import solve_fall
from neurosparse.meanfield.inputs import Sinusoid
from neurosparse.meanfield.lag_operator import half_line_energies
from neurosparse.meanfield.pair_kernel import hermite_coefficients
from neurosparse.meanfield.solution import StationarySolution, check_covariance
from neurosparse.meanfield.static import Problem, solve_continuous_variance

Array = NDArray[np.float64]

_PHASES = 32
_TERMS = (120, 400, 1280, 5120)
_WINDOW = 60.0
_ITERATIONS = 2000


def solve_driven(problem: Problem, drive: Sinusoid, window: float | None, lag_step: float | None,
                 tolerance: float, settings: dict[str, Any]) -> StationarySolution:
    """Solve the theory under a sinusoid; arguments as those of ``stationary``.

    Raises
    ------
    InputError
        A map, a gain with kinks, an unbounded state, no convergence, or a window too short.
    """
    if problem.delta is not None:
        raise InputError(problem.operation, found=f"a sinusoidal input with delta {problem.delta}",
                         expected="continuous time (delta None)")
    if problem.phi.kinks:
        raise InputError(problem.operation, found=f"gain {problem.phi.name!r} with a sinusoid",
                         expected="a smooth gain")
    if problem.noise:
        solve_continuous_variance(problem)  # refuses what is unbounded without the sinusoid already
    period = 2 * math.pi / drive.frequency
    ring = period * max(1, round(2 * (window or _WINDOW) / period))
    points = 2 * math.ceil(ring / (2 * (lag_step or min(0.1, period / 32))))
    lags = np.asarray(ring / points * np.arange(points // 2 + 1), dtype=np.float64)
    kernel = _DrivenKernel(problem, drive, lags)
    covariance, residual = _iterate(problem, kernel, ring, tolerance)
    check_covariance(covariance, problem.operation, tolerance=1e-5)
    value, slope = kernel(covariance)
    well = CubicSpline(lags, 1 - problem.gain**2 * slope)
    edges = np.linspace(0.0, lags[-1], 2 + math.ceil(lags[-1] / min(1.0, period / 4)))
    even, _ = half_line_energies(lambda tau: np.asarray(well(tau)), edges)
    level = CubicSpline(lags, covariance)
    # the last period, or half of it where the window has no more: the other half is its mirror
    begin = max(0.0, float(lags[-1]) - period)
    plateau = float(level.integrate(begin, lags[-1])) / (float(lags[-1]) - begin)

    def at(asked: Array) -> Array:
        # the end of the window has settled into the sinusoid's period
        beyond = np.ceil(np.maximum(asked - lags[-1], 0.0) / period)
        return np.asarray(level(np.abs(asked - period * beyond))) + drive.answer(asked)

    whole = covariance + drive.answer(lags)
    return StationarySolution(
        float(whole[0]), plateau, lags, whole, value, slope, -1 + math.sqrt(max(0.0, 1 - even)),
        math.nan, residual, "fluctuating", settings, at)


class _DrivenKernel:
    """⟨φφ⟩ and ⟨φ'φ'⟩ at every lag from Δ at every lag."""

    def __init__(self, problem: Problem, drive: Sinusoid, lags: Array) -> None:
        self.problem = problem
        self.lags = lags
        peak = drive.amplitude / math.hypot(1.0, drive.frequency)
        self.means = peak * np.cos(2 * math.pi * np.arange(_PHASES) / _PHASES)
        harmonics = np.fft.fftfreq(_PHASES, 1 / _PHASES)
        self.waves = np.cos(np.outer(harmonics * drive.frequency, lags))  # [M, T]

    def __call__(self, covariance: Array) -> tuple[Array, Array]:
        variance = max(float(covariance[0]), 1e-14)
        for terms in _TERMS:
            coefficients = hermite_coefficients(self.problem.phi, variance, self.means, terms)
            squares = (coefficients**2).mean(axis=1)
            if squares[-6:].sum() * terms < 1e-12 * squares.sum():
                break
        else:
            raise InputError(self.problem.operation, found=f"variance {variance:.4g} under a "
                             "sinusoid", expected="a variance at which 5120 Hermite terms suffice",
                             mend="Take a smaller gain.")
        keep = np.nonzero(squares > 1e-18 * squares.sum())[0]
        power = np.abs(np.fft.fft(coefficients[: keep[-1] + 1], axis=1) / _PHASES) ** 2
        weights = power @ self.waves  # [n, T]
        rho = np.clip(covariance / variance, -1.0, 1.0)
        value, slope = np.zeros_like(rho), np.zeros_like(rho)
        # Horner's rule, downwards in n; the slope is the derivative by Δ at fixed lag
        for n in range(len(weights) - 1, 0, -1):
            value = value * rho + weights[n]
            slope = slope * rho + n * weights[n]
        return value * rho + weights[0], slope / variance


def _iterate(problem: Problem, kernel: _DrivenKernel, ring: float,
             tolerance: float) -> tuple[Array, float]:
    lags = kernel.lags
    points = 2 * (lags.size - 1)
    frequencies = 2 * math.pi * np.arange(lags.size) / ring
    images = np.abs(lags[:, None] + ring * np.arange(-3, 4)[None, :])
    decay, slow = np.exp(-images).sum(axis=1), ((1 + images) * np.exp(-images)).sum(axis=1)
    white = 0.5 * problem.noise * decay  # white noise alone, summed over the ring's images
    covariance = _first_guess(problem, kernel, lags) + white
    mixer = Anderson(depth=8)
    residual = math.inf
    for _ in range(_ITERATIONS):
        value, slope = kernel(covariance)
        # noise gives the source a corner at lag zero: that part is filtered in closed form
        corner = 0.5 * problem.gain**2 * slope[0] * problem.noise
        source = problem.gain**2 * value - corner * decay
        even = np.concatenate([source, source[-2:0:-1]])
        filtered = np.fft.rfft(even).real / (1 + frequencies**2)
        update = np.fft.irfft(filtered, points)[: lags.size] + 0.5 * corner * slow + white
        residual = float(np.abs(update - covariance).max() / max(update[0], 1e-300))
        if residual < tolerance:
            return update, residual
        covariance = mixer.step(covariance, update)
        if not covariance[0] > 0 or np.abs(covariance).max() > 1.01 * covariance[0]:
            covariance = update  # not a covariance: fall back on the plain step
            mixer = Anderson(depth=8)
    raise InputError(problem.operation, found=f"no convergence (residual {residual:.2g})",
                     expected="a stationary state", mend="Try a longer window or other tolerance.")


def _first_guess(problem: Problem, kernel: _DrivenKernel, lags: Array) -> Array:
    """The state without the input, and a little where there is none."""
    plain = Problem(problem.gain, problem.phi, None, 0.0, problem.constant, problem.operation)
    variance = solve_continuous_variance(plain)
    if variance == 0:
        return 0.1 * float(np.mean(kernel.means**2)) * np.exp(-0.5 * lags**2)
    return variance * solve_fall(plain, variance).at(lags)
