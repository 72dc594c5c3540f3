"""Explicit Euler: order 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.fixed_step import Step

Array = NDArray[np.float64]


def euler(flow: Any, dt: float) -> Step:
    """x + dt drift(x, t)."""

    def step(x: Array, t: float) -> Array:
        moved: Array = flow.drift(x, t)
        moved *= dt
        moved += x
        return moved

    return step
