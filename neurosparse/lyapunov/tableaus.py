"""Butcher tableaus of the fixed-step methods for a user's ODE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]

METHODS = ("rk4", "dopri5", "dop853")


@dataclass(frozen=True)
class Tableau:
    """Explicit Runge-Kutta method: stage weights [S, S], final weights [S], nodes [S]."""

    stages: Array
    weights: Array
    nodes: Array

    @property
    def all_weights(self) -> Array:
        """Stage weights and below them the final ones [S + 1, S]."""
        return np.vstack([self.stages, self.weights])


@cache
def tableau(method: str) -> Tableau:
    """``"rk4"`` (order 4, 4 stages), ``"dopri5"`` (5, 6), ``"dop853"`` (8, 12).

    The last two are Dormand & Prince's, with a fixed step: the tangent has to see the same steps.

    Raises
    ------
    InputError
        The method is unknown.
    """
    if method == "rk4":
        stages = np.zeros((4, 4))
        stages[1, 0] = stages[2, 1] = 0.5
        stages[3, 2] = 1.0
        return Tableau(stages, np.array([1, 2, 2, 1]) / 6, np.array([0, 0.5, 0.5, 1]))
    if method in METHODS:
        from scipy.integrate import DOP853, RK45

        chosen = DOP853 if method == "dop853" else RK45
        count = len(chosen.B)
        stages = np.zeros((count, count))
        stages[:, : chosen.A.shape[1]] = chosen.A[:count, :count]
        return Tableau(stages, np.array(chosen.B), np.array(chosen.C[:count]))
    raise InputError(
        "spectrum", found=f"method={method!r}", expected=" or ".join(map(repr, METHODS))
    )
