"""Stationary mean-field theory of a random network: one call."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.gains import Gain
from neurosparse.dynamics.gains import gain as named_gain
from neurosparse.errors import InputError
from neurosparse.meanfield.checks import inside
from neurosparse.meanfield.covariance_driven import solve_driven
from neurosparse.meanfield.covariance_flow import Fall, solve_fall
from neurosparse.meanfield.covariance_map import solve_map_lags
from neurosparse.meanfield.inputs import Constant, Sinusoid, StationaryInput, constant_input
from neurosparse.meanfield.lag_operator import element_edges, half_line_energies, map_exponent
from neurosparse.meanfield.solution import StationarySolution, check_covariance
from neurosparse.meanfield.static import (
    Problem,
    exact_linear_variance,
    frozen_variance,
    rest_slope_moment,
    solve_continuous_variance,
)

Array = NDArray[np.float64]

_POINTS = 801
_FALLEN = 1e-10  # of the fall, at the end of the default window


def static_variance(gain: float, phi: str | Gain | tuple[Any, ...] = "tanh", *,
                    delta: float | None = None, noise: float = 0.0,
                    drive: Constant | None = None) -> float:
    """Variance Δ0 of a neuron's input in the stationary state.

    Parameters
    ----------
    gain
        g: the couplings have variance g²/N.
    phi
        Gain function.
    delta
        Step of the map; None is continuous time.
    noise
        Intensity σ² of white noise, ⟨ξ(t) ξ(t')⟩ = σ² δ(t - t').
    drive
        Constant input.

    Returns
    -------
    float
        Δ0 to about 1e-12 of itself (smooth gains; in closed form for the linear one).

    Raises
    ------
    InputError
        Bad numbers, an input that is no Constant, or a state that is not bounded: a linear
        network's variance is infinite from g = 1 on, that of ReLU from √2.

    Notes
    -----
    Energy condition of Sompolinsky, Crisanti and Sommers (1988) in continuous time; at δ = 1
    Δ0 = g²⟨φ²⟩ + σ² + v² (Molgedey, Schuchhardt and Schuster 1992).
    """
    problem = make_problem("static_variance", gain, phi, delta, noise, drive)
    if problem.is_linear:
        return exact_linear_variance(problem)
    if delta is None:
        return solve_continuous_variance(problem)
    if delta == 1.0:
        return frozen_variance(problem)
    return float(solve_map_lags(problem, 1e-11)[0][0])


def stationary(gain: float, phi: str | Gain | tuple[Any, ...] = "tanh", *,
               delta: float | None = None, noise: float = 0.0, drive: StationaryInput = None,
               window: float | None = None, lag_step: float | None = None,
               tolerance: float = 1e-8) -> StationarySolution:
    """Solve the stationary mean-field theory of the vanilla network.

    Parameters
    ----------
    gain
        g >= 0: the couplings have variance g²/N.
    phi
        Gain function.
    delta
        Step of the map x(n+1) = (1-δ) x + δ J φ(x), in (0, 1]; None is continuous time.
    noise
        Intensity σ² of white noise (of a map: variance δ σ² a step).
    drive
        Constant or sinusoidal input; a sinusoid only in continuous time.
    window, lag_step
        Length and step of the lag grid; chosen from the solution where None. A map's step is δ.
    tolerance
        Residual accepted where the solver iterates, in units of Δ0.

    Returns
    -------
    StationarySolution
        Autocovariances, largest exponent, response. Under a sinusoid its own part is included.

    Raises
    ------
    InputError
        Bad numbers, an input of another kind, an unbounded state, no convergence, or a window too
        short for a covariance.

    Notes
    -----
    Sompolinsky, Crisanti and Sommers, Phys. Rev. Lett. 61, 259 (1988); the map: Clark,
    arXiv:2610.12426; noise: Schuecker, Goedeke and Helias, arXiv:1603.01880; sinusoid: Rajan,
    Abbott and Sompolinsky, Phys. Rev. E 82, 011903 (2010).
    """
    settings = {"gain": gain, "phi": named_gain(phi).name, "delta": delta, "noise": noise,
                "drive": drive, "tolerance": tolerance}
    if drive is not None and not isinstance(drive, Constant | Sinusoid):
        raise InputError("stationary", found=f"drive {drive!r}",
                         expected="a Constant, a Sinusoid, or None")
    _check_grid(window, lag_step, delta, tolerance)
    if isinstance(drive, Sinusoid) and drive.amplitude > 0:
        problem = make_problem("stationary", gain, phi, delta, noise, None)
        return solve_driven(problem, drive, window, lag_step, tolerance, settings)
    constant = None if isinstance(drive, Sinusoid) else drive
    problem = make_problem("stationary", gain, phi, delta, noise, constant)
    if delta is None:
        return _flow(problem, window, lag_step, settings)
    return _map(problem, window, tolerance, settings)


def make_problem(operation: str, gain: float, phi: str | Gain | tuple[Any, ...],
                 delta: float | None, noise: float, drive: Constant | None) -> Problem:
    """Check the numbers of a stationary problem.

    Raises
    ------
    InputError
        A number out of its range, or an input that is no Constant.
    """
    step = None if delta is None else inside(operation, "delta", delta, 0, 1, open_low=True)
    return Problem(inside(operation, "gain", gain, 0), named_gain(phi), step,
                   inside(operation, "noise", noise, 0), constant_input(operation, drive),
                   operation)


def _check_grid(window: float | None, lag_step: float | None, delta: float | None,
                tolerance: float) -> None:
    for name, value in (("window", window), ("lag_step", lag_step), ("tolerance", tolerance)):
        if value is not None:
            inside("stationary", name, value, 0, open_low=True)
    if window is not None and lag_step is not None and lag_step > window:
        raise InputError("stationary", found=f"lag_step {lag_step!r} with window {window!r}",
                         expected="a step inside the window")
    if delta is None:
        return
    step = inside("stationary", "delta", delta, 0, 1, open_low=True)
    if lag_step is not None and abs(lag_step - step) > 1e-12:
        raise InputError("stationary", found=f"lag_step {lag_step!r} with delta {delta!r}",
                         expected="the map's own step, or None")


def _flow(problem: Problem, window: float | None, lag_step: float | None,
          settings: dict[str, Any]) -> StationarySolution:
    variance = solve_continuous_variance(problem)
    if variance == 0:
        return _rest(problem, window or 10.0, lag_step, settings)
    fall = solve_fall(problem, variance)
    length = window or (fall.reach * math.log(_FALLEN) / math.log(1e-14) if fall.reach else 10.0)
    step = lag_step or length / (_POINTS - 1)
    lags = _grid(step, length)
    rho = fall.at(lags)
    covariance = variance * rho
    if window is not None and fall.rest < 1:
        check_covariance(np.append(covariance, variance * fall.rest), "stationary")
    exponent, odd = _flow_exponent(problem, fall, variance)
    frozen = fall.rest == 1.0
    status = "fluctuating" if problem.noise else "fixed point" if frozen else "chaotic"
    force = problem.gain**2 * float(fall.kernel.value(fall.rest)) + problem.field
    return StationarySolution(
        variance, variance * fall.rest, lags, covariance, fall.kernel.value(rho),
        fall.kernel.slope(rho), exponent, odd if status == "chaotic" else math.nan,
        abs(force / variance - fall.rest), status, settings,
        lambda asked: variance * fall.at(asked))


def _flow_exponent(problem: Problem, fall: Fall, variance: float) -> tuple[float, float]:
    """λ_max, and the lowest odd energy."""
    strength = problem.gain**2
    if fall.rest == 1.0:
        flat = 1 - strength * float(fall.kernel.slope(1.0))
        return -1 + math.sqrt(1 - flat), math.nan
    # the well bends where 1 - ρ passes 1/Δ0; its first element is shorter than that
    bend = 1 / (1 + variance)
    lags = np.linspace(0, fall.reach, 20001)
    first = lags[max(1, int(np.argmax(1 - fall.at(lags) > 0.3 * bend * (1 - fall.rest))))]
    edges = element_edges(max(float(first), 1e-5 * fall.reach), fall.reach)
    even, odd = half_line_energies(
        lambda tau: 1 - strength * fall.kernel.slope(fall.at(tau)), edges)
    return -1 + math.sqrt(1 - even), odd


def _rest(problem: Problem, window: float, lag_step: float | None,
          settings: dict[str, Any]) -> StationarySolution:
    slope = rest_slope_moment(problem.phi, problem.constant.mean)
    step = lag_step or problem.delta or window / (_POINTS - 1)
    lags = _grid(step, window)
    zero, slopes = np.zeros_like(lags), np.full_like(lags, slope)
    if problem.delta is None:
        exponent = -1 + problem.gain * math.sqrt(slope)
    else:
        exponent = map_exponent(problem.gain, problem.delta, slopes)
    return StationarySolution(0.0, 0.0, lags, zero, zero.copy(), slopes, exponent, math.nan, 0.0,
                              "rest", settings, np.zeros_like)


def _map(problem: Problem, window: float | None, tolerance: float,
         settings: dict[str, Any]) -> StationarySolution:
    delta = problem.delta
    assert delta is not None
    covariance, residual, kernel = solve_map_lags(problem, min(tolerance, 1e-8))
    if kernel is None:
        return _rest(problem, window or 10.0, None, settings)
    variance, rest = float(covariance[0]), float(covariance[-1])
    slopes = kernel.slope(np.clip(covariance / variance, -1, 1))
    exponent = map_exponent(problem.gain, delta, slopes)
    whole = covariance

    def at(asked: Array) -> Array:
        steps = asked / delta
        if np.abs(steps - np.rint(steps)).max(initial=0.0) > 1e-9:
            raise InputError("autocovariance of a map", found="a lag between two steps",
                             expected=f"multiples of delta {delta:g}")
        return np.asarray(whole[np.minimum(np.rint(steps).astype(int), whole.size - 1)])

    if window is not None:
        count = max(2, round(window / delta) + 1)
        padded = np.append(whole, np.full(max(0, count - whole.size), rest))
        covariance = padded[:count]
        if variance - rest > 1e-12 * variance:
            check_covariance(np.append(covariance, rest), "stationary")
    lags = np.asarray(delta * np.arange(covariance.size), dtype=np.float64)
    rho = np.clip(covariance / variance, -1, 1)
    fixed = variance - rest <= 1e-9 * variance
    status = "fluctuating" if problem.noise else "fixed point" if fixed else "chaotic"
    return StationarySolution(variance, rest, lags, covariance, kernel.value(rho),
                              kernel.slope(rho), exponent, math.nan, residual, status,
                              settings, at)


def _grid(step: float, length: float) -> Array:
    """Multiples of the step up to the length."""
    return np.asarray(step * np.arange(math.floor(length / step * (1 + 1e-12)) + 1),
                      dtype=np.float64)
