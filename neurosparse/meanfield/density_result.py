"""The distribution of all Lyapunov exponents, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpectrumDensity:
    """Distribution of the Lyapunov exponents of an infinite network.

    Attributes
    ----------
    thresholds
        [M] s, rising, per unit of time.
    cumulative
        [M] F(s), the share of exponents below s.
    stderr
        [M] standard error of F over scrambles of the sampled paths; zero where F is exact, NaN
        for a single scramble.
    upper_edge
        λ_max, where F reaches one.
    kaplan_yorke, kaplan_yorke_error
        Kaplan-Yorke dimension per neuron and its standard error; NaN where the thresholds do not
        reach low enough.
    entropy_rate, entropy_rate_error
        Sum of the positive exponents per neuron, in nats a unit of time.
    method
        ``"exact"`` or ``"single site"``.
    converged
        Whether every fixed point reached its tolerance.
    settings
        The arguments that made it.
    """

    thresholds: Array
    cumulative: Array
    stderr: Array
    upper_edge: float
    kaplan_yorke: float
    kaplan_yorke_error: float
    entropy_rate: float
    entropy_rate_error: float
    method: str
    converged: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    def share_below(self, s: ArrayLike) -> Array:
        """F at any s within the thresholds; one above the upper edge, NaN below the first.

        Raises
        ------
        InputError
            No array of numbers.
        """
        asked = array("share_below", "s", s)
        curve = _curve(self.thresholds, self.cumulative, self.upper_edge)
        inside = np.clip(asked, self.thresholds[0], self.upper_edge)
        out = np.where(asked >= self.upper_edge, 1.0, curve(inside))
        return np.asarray(np.where(asked < self.thresholds[0], np.nan, out))

    def exponents(self, share: ArrayLike) -> Array:
        """λ(x) that the share x = i/N of exponents exceeds; NaN beyond the thresholds.

        Raises
        ------
        InputError
            No array of numbers.
        """
        asked = array("exponents", "share", share)
        s = np.append(self.thresholds[self.thresholds < self.upper_edge], self.upper_edge)
        curve = _curve(self.thresholds, self.cumulative, self.upper_edge)
        fine = np.linspace(s[0], s[-1], 20001)
        above = np.minimum.accumulate(1 - curve(fine))
        out = np.interp(asked, above[::-1], fine[::-1])
        return np.asarray(np.where(asked > above[0], np.nan, out))


def _curve(s: Array, cumulative: Array, edge: float) -> PchipInterpolator:
    """Monotone interpolant of F that reaches one at the edge."""
    keep = s < edge - 1e-12
    return PchipInterpolator(np.append(s[keep], edge),
                             np.append(np.maximum.accumulate(cumulative[keep]), 1.0))


def dimension_and_entropy(s: Array, cumulative: Array, edge: float) -> tuple[float, float]:
    """Kaplan-Yorke dimension and entropy rate per neuron from F at thresholds ``s`` [M].

    With G = 1 - F: h = ∫ from 0 of G ds, and the dimension is G(c) where c G(c) + ∫ from c of G
    vanishes, which is where the exponents above c sum to zero. NaN for a dimension whose c lies
    below the first threshold, or an entropy of which zero does. Both are zero for an edge <= 0.

    Raises
    ------
    InputError
        ``s`` and ``cumulative`` are not arrays [M] of numbers, or the edge is no number.
    """
    operation = "dimension_and_entropy"
    s, cumulative = array(operation, "s", s), array(operation, "cumulative", cumulative)
    if s.ndim != 1 or s.shape != cumulative.shape or not s.size:
        raise InputError(operation, found=f"shapes {s.shape} and {cumulative.shape}",
                         expected="two arrays [M]")
    if edge == -np.inf or inside(operation, "edge", edge) <= 0:
        return 0.0, 0.0
    curve = _curve(s, cumulative, edge)
    tail = curve.antiderivative()

    def above(c: Array) -> Array:
        """∫ from c to the edge of G."""
        return np.asarray((edge - c) - (tail(edge) - tail(c)))

    entropy = float(above(np.array(0.0))) if s[0] <= 0 else float("nan")
    grid = np.linspace(s[0], min(0.0, edge), 20001)
    total = grid * (1 - curve(grid)) + above(grid)
    below = np.nonzero(total <= 0)[0]
    if below.size == 0 or s[0] > 0:
        return float("nan"), entropy
    at = below[-1]
    if at + 1 < grid.size:
        part = total[at] / (total[at] - total[at + 1])
        c = grid[at] + part * (grid[at + 1] - grid[at])
    else:
        c = grid[at]
    return float(1 - curve(c)), entropy
