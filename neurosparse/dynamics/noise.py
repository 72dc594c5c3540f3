"""Stochastic steps for additive white noise √(2T) dW."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.drive import held_step
from neurosparse.dynamics.fixed_step import Step

Array = NDArray[np.float64]


def euler_maruyama(flow: Any, dt: float, rng: np.random.Generator) -> Step:
    """x + dt drift + √(2T dt) ξ: strong order 1 for additive noise, bias of the law O(dt)."""
    size = math.sqrt(2.0 * flow.temperature * dt)

    def step(x: Array, t: float) -> Array:
        moved: Array = flow.drift(x, t)
        moved *= dt
        moved += x
        moved += size * rng.standard_normal(x.shape)
        return moved

    return step


def heun(flow: Any, dt: float, rng: np.random.Generator) -> Step:
    """Stochastic Heun: strong order 1, weak order 2 for additive noise (Platen's scheme).

    The predictor carries the same noise as the corrector, which is what gives the order. A held
    input is read at the step's begin by both.
    """
    size = math.sqrt(2.0 * flow.temperature * dt)
    end = dt if held_step(flow.drive) is None else 0.0

    def step(x: Array, t: float) -> Array:
        kick = size * rng.standard_normal(x.shape) if size else 0.0
        first: Array = flow.drift(x, t)
        second: Array = flow.drift(x + dt * first + kick, t + end)
        second += first
        second *= 0.5 * dt
        second += x
        second += kick
        return second

    return step
