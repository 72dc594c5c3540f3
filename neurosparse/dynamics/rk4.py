"""The classical Runge-Kutta method of order 4."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.drive import held_step
from neurosparse.dynamics.fixed_step import Step

Array = NDArray[np.float64]


def rk4(flow: Any, dt: float) -> Step:
    """Four drifts a step, error dt⁴; a held input is read at the step's begin by all of them."""
    middle, end = (0.5 * dt, dt) if held_step(flow.drive) is None else (0.0, 0.0)

    def step(x: Array, t: float) -> Array:
        first: Array = flow.drift(x, t)
        second: Array = flow.drift(x + 0.5 * dt * first, t + middle)
        third: Array = flow.drift(x + 0.5 * dt * second, t + middle)
        fourth: Array = flow.drift(x + dt * third, t + end)
        second += third
        second *= 2.0
        second += first
        second += fourth
        second *= dt / 6.0
        second += x
        return second

    return step
