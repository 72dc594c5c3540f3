"""Figure: the stationary autocovariance, mean-field theory against simulation."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.report import paper, theme

Array = NDArray[np.float64]
Which = Literal["x", "phi"]


class StationaryLike(Protocol):
    """A ``meanfield.StationarySolution``: lags [T] and two autocovariances [T]."""

    @property
    def lags(self) -> Array:
        """Lags >= 0."""

    @property
    def autocovariance(self) -> Array:
        """Of x."""

    @property
    def gain_autocovariance(self) -> Array:
        """Of φ(x)."""


def autocovariance(theory: StationaryLike, *, which: Which = "x",
                   simulation: tuple[ArrayLike, ...] | None = None, longest: float | None = None,
                   width: float = paper.COLUMN) -> Figure:
    """Draw the autocovariance against the lag; with a simulation also the difference.

    Parameters
    ----------
    theory
        A ``meanfield.StationarySolution``.
    which
        ``"x"`` or ``"phi"``: of the state or of the gain's output.
    simulation
        (lags, values) or (lags, values, standard errors).
    longest
        Largest lag drawn; all of them, or as far as the simulation goes, if not given.
    width
        Inches.

    Raises
    ------
    InputError
        ``which`` is unknown, the simulation is not arrays of one length, or it has no lag inside
        the theory's window.
    """
    operation = "draw an autocovariance"
    if which not in ("x", "phi"):
        raise InputError(operation, found=f"which={which!r}", expected="'x' or 'phi'")
    lags = np.asarray(theory.lags, dtype=np.float64)
    values = np.asarray(theory.autocovariance if which == "x" else theory.gain_autocovariance)
    measured = None
    if simulation is not None:
        measured = paper.series(operation, simulation, ("lags", "values", "stderr"))
    reach = longest or float(lags[-1] if measured is None else min(measured[0].max(), lags[-1]))
    with paper.settings():
        figure = theme.new_figure(width, 2.5 if measured is None else 3.9)
        panels = ([figure.subplots()] if measured is None
                  else list(figure.subplots(2, 1, sharex=True, height_ratios=[1.7, 1])))
        name = "x" if which == "x" else "φ(x)"
        paper.letters(panels, [f"Autocovariance of {name}", "Simulation less theory"][:len(panels)])
        near = lags <= reach * (1 + 1e-12)
        panels[0].axhline(0, color=theme.light("faint"), linewidth=0.9)
        panels[0].plot(lags[near], values[near], color=theme.light("warm"), gid="theory",
                       label="mean-field theory")
        if measured is not None:
            seen = measured[0] <= reach * (1 + 1e-12)
            if not np.any(seen):
                raise InputError(operation, found=f"simulated lags from {measured[0].min():g}",
                                 expected=f"some at most {reach:g}")
            at, found = measured[0][seen], measured[1][seen]
            error = measured[2][seen] if len(measured) > 2 else None
            colour = theme.light("strong")
            paper.points(panels[0], at, found, error, colour, gid="simulation",
                         label="simulation")
            panels[0].legend(frameon=False, loc="upper right")
            panels[1].axhline(0, color=theme.light("warm"), linewidth=1.0)
            paper.points(panels[1], at, found - _between(lags, values, at), error, colour,
                         gid="difference")
        for axes in panels:
            theme.tidy(axes)
            axes.set_xlim(-0.02 * reach, 1.02 * reach)
        panels[0].set_ylabel("C(τ)")
        panels[-1].set_xlabel("lag τ")
    return figure


def _between(lags: Array, values: Array, at: Array) -> Array:
    """A cubic through the theory's lags, exact on them."""
    if len(lags) < 4:
        return np.interp(at, lags, values)
    from scipy.interpolate import CubicSpline

    return np.asarray(CubicSpline(lags, values)(at), dtype=np.float64)
