"""Anderson's acceleration of a fixed-point iteration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Anderson:
    """Mix the last few iterates so that the residual is least (Walker and Ni 2011).

    Parameters
    ----------
    depth
        How many differences are kept.
    mixing
        Share of the residual that is taken.
    """

    def __init__(self, depth: int = 6, mixing: float = 1.0) -> None:
        self.depth, self.mixing = depth, mixing
        self._points: list[Array] = []
        self._residuals: list[Array] = []

    def step(self, point: Array, image: Array, weight: Array | float = 1.0) -> Array:
        """Return the next point, from a point [n] and its image [n] under the map.

        ``weight`` says how much each component counts in the least squares.
        """
        residual = image - point
        self._points = [*self._points[-self.depth :], point]
        self._residuals = [*self._residuals[-self.depth :], residual]
        plain = point + self.mixing * residual
        if len(self._points) < 2:
            return plain
        moves = np.diff(np.stack(self._points, axis=1), axis=1)
        changes = np.diff(np.stack(self._residuals, axis=1), axis=1)
        scale = np.broadcast_to(weight, residual.shape)
        shares = np.linalg.lstsq(changes * scale[:, None], residual * scale, rcond=1e-12)[0]
        return np.asarray(plain - (moves + self.mixing * changes) @ shares)
