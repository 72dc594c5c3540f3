"""Zero-temperature replica-symmetric saddle point of the kinetic energy.

The minima of E(x) = |f(x)|²/2 + η |x|² of a network with independent couplings (Qiu and Huang,
arXiv:2401.10009), order parameters q, χ, χ̂, Q̂; u, v standard Gaussian and σ² = 1 + g² χ:

    x* = argmin  η x² + χ̂ φ(x)² - √Q̂ u φ(x) + (g √q v - x)² / (2 σ²)
    q = ⟨φ(x*)²⟩                       χ̂ = g²/(2σ²) - g/(2σ² √q) ⟨v x*⟩
    χ = ⟨u φ(x*)⟩ / √Q̂                 Q̂ = g²/σ⁴ (g² q + ⟨x*²⟩ - 2 g √q ⟨v x*⟩)

Averages are sums over a product grid in u and v, not samples, so a solution repeats exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.gains import Gain
from neurosparse.dynamics.gains import gain as named_gain
from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside, whole

Array = NDArray[np.float64]

_REACH = 5.5  # standard deviations of the grid
_SCAN = 41  # points that look for the valley of the minimum
_SHRINKS = 40
_ZERO_ENERGY = 1e-8  # of q


@dataclass(frozen=True)
class ReplicaSaddle:
    """Order parameters of the saddle point.

    Attributes
    ----------
    q, chi, chi_hat, q_hat
        The order parameters of the module's first lines.
    energy
        ⟨(g √q v - x*)²⟩ / (2 σ⁴), the mean of f²/2 over neurons at the minimum (η = 0).
    state_variance
        ⟨x*²⟩.
    residual
        Largest relative change of an order parameter in the last iteration.
    iterations
        How many were made.
    status
        ``"converged"``; ``"not converged"``; ``"zero"`` where the state has shrunk to x = 0; or
        ``"zero energy"`` where the minimum is a fixed point of the vanilla flow. There χ grows
        without bound, χ̂ and Q̂ vanish, and q is only where the iteration was when it was stopped.
    settings
        The arguments that made it.
    """

    q: float
    chi: float
    chi_hat: float
    q_hat: float
    energy: float
    state_variance: float
    residual: float
    iterations: int
    status: str
    settings: dict[str, Any] = field(default_factory=dict)


def replica_saddle(gain: float, phi: str | Gain | tuple[Any, ...] = "tanh", *, ridge: float = 0.0,
                   start: tuple[float, float, float, float] = (0.5, 1.0, 0.5, 0.5),
                   damping: float = 0.2, points: int = 81, iterations: int = 500,
                   tolerance: float = 1e-6) -> ReplicaSaddle:
    """Iterate the saddle-point equations of the energy's minima at zero temperature.

    Parameters
    ----------
    gain
        g > 0.
    phi
        An odd gain function.
    ridge
        η >= 0, strength of the ridge η |x|².
    start
        (q, χ, χ̂, Q̂) to begin from.
    damping
        Share of the new value taken an iteration, in (0, 1].
    points
        Grid points a side in u and v.
    iterations, tolerance
        At most so many; relative change at which to stop.

    Returns
    -------
    ReplicaSaddle
        With its status; without convergence no error is raised.

    Raises
    ------
    InputError
        A number out of its range.
    """
    shape = named_gain(phi)
    operation = "replica_saddle"
    inside(operation, "gain", gain, 0, open_low=True)
    inside(operation, "ridge", ridge, 0)
    inside(operation, "damping", damping, 0, 1, open_low=True)
    inside(operation, "tolerance", tolerance, 0)
    whole(operation, "points", points, 9)
    whole(operation, "iterations", iterations, 1)
    state = array(operation, "start", start)
    if state.shape != (4,) or not np.all(np.isfinite(state) & (state > 0)):
        raise InputError(operation, found=f"start {start!r}",
                         expected="four finite numbers > 0: q, χ, χ̂ and Q̂")
    node = np.linspace(-_REACH, _REACH, points)
    weight = np.exp(-0.5 * node**2)
    weight /= weight.sum()
    u, v = np.meshgrid(node, node, indexing="ij")
    weights = np.outer(weight, weight)
    residual, number, status = math.inf, 0, "not converged"
    moments = (0.0, 0.0)
    while number < iterations:
        number += 1
        image, moments = _image(state, gain, shape, ridge, u, v, weights)
        residual = float(np.abs(image / state - 1).max())
        state = (1 - damping) * state + damping * image
        if residual < tolerance:
            status = "converged"
            break
        if state[0] < 1e-9 or moments[1] < _ZERO_ENERGY * state[0]:
            status = "zero" if state[0] < 1e-9 else "zero energy"
            break
    settings = {"gain": gain, "phi": shape.name, "ridge": ridge, "start": start,
                "damping": damping, "points": points, "tolerance": tolerance}
    q, chi, chi_hat, q_hat = (float(value) for value in state)
    return ReplicaSaddle(q, chi, chi_hat, q_hat, moments[1], moments[0], residual, number, status,
                         settings)


def _image(state: Array, gain: float, phi: Gain, ridge: float, u: Array, v: Array,
           weights: Array) -> tuple[Array, tuple[float, float]]:
    """Right-hand sides (q, χ, χ̂, Q̂), then ⟨x*²⟩ and the energy."""
    q, chi, chi_hat, q_hat = state
    spread = 1 + gain**2 * chi
    centre = gain * math.sqrt(q) * v
    x = minimiser(phi, ridge, chi_hat, math.sqrt(q_hat) * u, centre, spread)
    rate = phi.value(x)
    q_new = float((weights * rate**2).sum())
    chi_new = float((weights * u * rate).sum()) / math.sqrt(q_hat)
    overlap, square = float((weights * v * x).sum()), float((weights * x**2).sum())
    chi_hat_new = gain**2 / (2 * spread) - gain / (2 * spread * math.sqrt(q)) * overlap
    misfit = gain**2 * q + square - 2 * gain * math.sqrt(q) * overlap
    image = np.array([q_new, chi_new, chi_hat_new, gain**2 / spread**2 * misfit])
    return np.maximum(image, 1e-14), (square, misfit / (2 * spread**2))


def minimiser(phi: Gain, ridge: float, chi_hat: float, pull: Array, centre: Array,
              spread: float) -> Array:
    """argmin over x of η x² + χ̂ φ(x)² - pull φ(x) + (centre - x)²/(2σ²), elementwise.

    A scan finds the valley, golden-section search its floor; the function may have two valleys.
    """

    def cost(x: Array, pull: Array, centre: Array) -> Array:
        rate = phi.value(x)
        inner = chi_hat * rate * rate - pull * rate
        return ridge * x * x + inner + (centre - x) ** 2 / (2 * spread)

    reach = 3 + np.abs(centre) + spread * np.abs(pull) * min(phi.steepest, 1e3)
    steps = np.linspace(-1, 1, _SCAN)
    scan = cost(reach[..., None] * steps, pull[..., None], centre[..., None])
    best = steps[scan.argmin(axis=-1)]
    width = steps[1] - steps[0]
    low, high = reach * (best - width), reach * (best + width)
    ratio = 0.5 * (math.sqrt(5.0) - 1)
    for _ in range(_SHRINKS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        lower = cost(left, pull, centre) < cost(right, pull, centre)
        low, high = np.where(lower, low, left), np.where(lower, right, high)
    return np.asarray(0.5 * (low + high))
