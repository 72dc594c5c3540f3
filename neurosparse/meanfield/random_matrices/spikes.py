"""Singular value and vectors that a rank-one signal makes visible above Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neurosparse.meanfield.checks import inside


@dataclass(frozen=True)
class Spike:
    """The largest singular triplet of signal plus noise in the large limit.

    Attributes
    ----------
    visible
        Whether the signal is above the threshold.
    value
        Largest singular value; the bulk's edge where the signal is not visible.
    left_overlap, right_overlap
        Squared cosines between the found and the true singular vectors; 0 if not visible.
    """

    visible: bool
    value: float
    left_overlap: float
    right_overlap: float


def spike(strength: float, rows: int, columns: int, *, noise: float = 1.0, sparsity: float = 0.0
          ) -> Spike:
    """θ u vᵀ + X with unit u, v and X_ij of variance noise²(1-s)/n.

    In units of the noise the top singular value is √((1+θ²)(c+θ²))/θ for θ > c^(1/4), c = m/n,
    and 1+√c below (Benaych-Georges and Nadakuditi, arXiv:1103.2221, section 3.1). Fluctuations
    are of order 1/√N.

    Parameters
    ----------
    strength
        θ >= 0.
    rows, columns
        m and n.
    noise
        Standard deviation of √n X_ij before masking, > 0.
    sparsity
        Share of the noise matrix that is masked away, in [0, 1); the signal is not masked.

    Raises
    ------
    InputError
        A value out of its range.
    """
    operation = "spike"
    inside(operation, "strength", strength, 0)
    inside(operation, "rows", rows, 1)
    inside(operation, "columns", columns, 1)
    inside(operation, "noise", noise, 0, open_low=True)
    kept = 1 - inside(operation, "sparsity", sparsity, 0, 1, open_high=True)
    unit, c = noise * math.sqrt(kept), rows / columns
    square = (strength / unit) ** 2
    if square <= math.sqrt(c):
        return Spike(False, unit * (1 + math.sqrt(c)), 0.0, 0.0)
    return Spike(True, unit * math.sqrt((1 + square) * (c + square) / square),
                 1 - c * (1 + square) / (square * (square + c)),
                 1 - (c + square) / (square * (square + 1)))
