"""What a two-time solver solves, and the time grid that it solves it on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import inside

if TYPE_CHECKING:
    from neurosparse.dynamics import Gain

Array = NDArray[np.float64]

SCHEMES = {"adams": (1.5, -0.5), "euler": (1.0, 0.0)}


@dataclass(frozen=True)
class Problem:
    """A single-site process on a grid of ``size`` times with step ``dt``.

    ``noise`` is the intensity σ² of white noise, <ξ(t) ξ(s)> = σ² δ(t - s), outside f.
    ``input_covariance`` [T, T] is that of a Gaussian input inside h, or None.
    """

    gain: float
    phi: Gain
    gamma: float
    symmetry: float
    noise: float
    initial_variance: float
    dt: float
    size: int
    scheme: str
    input_covariance: Array | None = None

    @property
    def times(self) -> Array:
        """Times [T]."""
        return self.dt * np.arange(self.size, dtype=np.float64)

    def weights(self, n: int) -> tuple[float, float]:
        """Weights of the drifts at steps n and n - 1; the first step is Euler's."""
        return SCHEMES[self.scheme] if n else (1.0, 0.0)


def make_problem(operation: str, gain: float, phi: Gain, *, gamma: float, symmetry: float,
                 noise: float, initial_variance: float, duration: float, dt: float, scheme: str,
                 ) -> Problem:
    """Check the numbers that all two-time solvers share.

    Raises
    ------
    InputError
        A number is out of its range.
    """
    for name, value, low, high in (
        ("gain", gain, 0.0, math.inf), ("symmetry", symmetry, -1.0, 1.0),
        ("noise", noise, 0.0, math.inf), ("initial_variance", initial_variance, 0.0, math.inf),
        ("gamma", gamma, -math.inf, math.inf), ("duration", duration, 0.0, math.inf),
    ):
        inside(operation, name, value, low, high)
    if inside(operation, "dt", dt, 0, open_low=True) > duration:
        raise InputError(operation, found=f"dt {dt} with duration {duration}",
                         expected="0 < dt <= duration")
    if scheme not in SCHEMES:
        raise InputError(operation, found=f"scheme {scheme!r}", expected=f"one of {list(SCHEMES)}")
    steps = round(duration / dt)
    if steps > 20_000:
        raise InputError(operation, found=f"{steps} steps", expected="at most 20000 steps",
                         mend="The two-time matrices would not fit in memory; take a larger dt.")
    return Problem(float(gain), phi, float(gamma), float(symmetry), float(noise),
                   float(initial_variance), float(dt), steps + 1, scheme)


def response_density(raw: Array, jump: Array, problem: Problem) -> Array:
    """Response density R(t, s) [T, T] from the answer of the discrete flow to a field in one step.

    Parameters
    ----------
    raw
        Change at t_n per unit of field during step m [T, T], strictly lower triangular.
    jump
        The limit R(s+, s), known in closed form [T].

    Notes
    -----
    A field in step m enters with weight 3/2 at once and -1/2 later, so lags 1 and 2 carry the
    scheme's edge; they are read off the quadratic through lags 0, 3 and 4 of the same column.
    Column 0 (its step is Euler's, so that a field in it weighs half in all) continues columns 1
    and 2 in a straight line; its first three lags are read off lags 0, 4 and 5.
    """
    n = len(raw)
    density = np.asarray(np.tril(raw, -1) / problem.dt)
    np.fill_diagonal(density, jump)
    if problem.scheme == "adams" and n > 5:
        m = np.arange(n - 4)
        known = density[m, m], density[m + 3, m], density[m + 4, m]
        for lag, parts in ((1, (0.5, 1.0, -0.5)), (2, (1 / 6, 4 / 3, -0.5))):
            column = sum(w * v for w, v in zip(parts, known, strict=True))
            density[m + lag, m] = column
            rest = np.arange(n - 4, n - lag)
            density[rest + lag, rest] = np.asarray(column)[-1]
        density[4:, 0] = 2 * density[4:, 1] - density[4:, 2]
        for lag, parts in ((1, (0.6, 1.0, -0.6)), (2, (0.3, 1.5, -0.8)), (3, (0.1, 1.5, -0.6))):
            density[lag, 0] = np.dot(parts, density[[0, 4, 5], 0])
    return density
