"""The classical Runge-Kutta method of order 4."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.fixed_step import Step

Array = NDArray[np.float64]


def rk4(flow: Any, dt: float) -> Step:
    """Four drifts a step, error dt⁴."""

    def step(x: Array, t: float) -> Array:
        first: Array = flow.drift(x, t)
        second: Array = flow.drift(x + 0.5 * dt * first, t + 0.5 * dt)
        third: Array = flow.drift(x + 0.5 * dt * second, t + 0.5 * dt)
        fourth: Array = flow.drift(x + dt * third, t + dt)
        second += third
        second *= 2.0
        second += first
        second += fourth
        second *= dt / 6.0
        second += x
        return second

    return step
