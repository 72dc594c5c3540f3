"""Figure: covariance C(t, s) and response R(t, s) from given times s on, theory and simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.report import paper, theme

Array = NDArray[np.float64]


class TwoTimeLike(Protocol):
    """A ``meanfield.TwoTime``: times [T], covariance [T, T], response [T, T], R[t, s] for t >= s.

    Either may have standard errors [T, T], as ``covariance_stderr`` and ``response_stderr`` or in
    a dictionary ``errors`` under "x" and "x/h", and None for a quantity that it does not know.
    """

    @property
    def times(self) -> Array:
        """Times."""

    @property
    def covariance(self) -> Any:
        """C(t, s)."""

    @property
    def response(self) -> Any:
        """R(t, s)."""


def two_time(theory: TwoTimeLike, *, simulation: TwoTimeLike | None = None,
             since: Sequence[float] | None = None, marks: int = 14,
             width: float = paper.COLUMN) -> Figure:
    """Draw C(t, s) and R(t, s) against t - s for a few times s.

    Lines are the theory, circles the simulation, with one standard error where they have them: a
    band around a line (a sampled theory), a bar on a circle.

    Parameters
    ----------
    theory
        A ``meanfield.TwoTime``, or any object with its ``times``, ``covariance``, ``response``.
    simulation
        The like, on a time grid of its own.
    since
        The times s, the nearest recorded ones are taken; by default the start, and a quarter and
        half of the record.
    marks
        About how many simulated points a curve shows.
    width
        Inches.

    Raises
    ------
    InputError
        Matrices that do not belong to the times, times s outside them, or nothing to draw.
    """
    operation = "draw two-time functions"
    first = _parts(operation, theory)
    second = None if simulation is None else _parts(operation, simulation)
    times = first[0]
    wanted = ([times[0], times[len(times) // 4], times[len(times) // 2]] if since is None
              else [float(s) for s in since])
    shown = [(number, name) for number, name in ((1, "Covariance C(t, s)"),
                                                 (3, "Response R(t, s)"))
             if first[number] is not None]
    if not shown or not wanted:
        raise InputError(operation, found="neither covariance nor response, or no time s",
                         expected="at least one of each")
    with paper.settings():
        figure = theme.new_figure(width, 2.4 if len(shown) == 1 else 4.5)
        panels = list(figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0])
        paper.letters(panels, [name for _, name in shown])
        for axes, (number, _) in zip(panels, shown, strict=True):
            axes.axhline(0, color=theme.light("faint"), linewidth=0.9)
            for place, s in enumerate(wanted):
                colour = theme.ordered(place, max(len(wanted), 2))
                _cut(operation, axes, first, number, s, colour, every=None)
                if second is not None and second[number] is not None:
                    _cut(operation, axes, second, number, s, colour, every=marks)
            theme.tidy(axes)
        panels[-1].set_xlabel("t − s")
        _key(panels, wanted, second is not None)
    return figure


_Parts = tuple[Array, Array | None, Array | None, Array | None, Array | None]


def _parts(operation: str, found: TwoTimeLike) -> _Parts:
    """Times, C, its error, R, its error."""
    times = np.asarray(found.times, dtype=np.float64)
    parts: list[Array | None] = []
    errors = getattr(found, "errors", None) or {}
    for name, short in (("covariance", ""), ("covariance_stderr", "x"), ("response", ""),
                        ("response_stderr", "x/h")):
        value = getattr(found, name, errors.get(short))
        matrix = None if value is None else np.asarray(value, dtype=np.float64)
        if matrix is not None and matrix.shape != (len(times), len(times)):
            raise InputError(operation, found=f"{name} of shape {matrix.shape}",
                             expected=f"{(len(times), len(times))}, as the times")
        parts.append(matrix)
    return times, parts[0], parts[1], parts[2], parts[3]


def _cut(operation: str, axes: Axes, parts: _Parts, number: int, since: float, colour: str, *,
         every: int | None) -> None:
    times, matrix, error = parts[0], parts[number], parts[number + 1]
    assert matrix is not None
    start = int(np.argmin(np.abs(times - since)))
    step = float(np.diff(times).max()) if len(times) > 1 else 0.0
    if abs(times[start] - since) > 0.51 * step + 1e-12:
        raise InputError(operation, found=f"s = {since:g}",
                         expected=f"a time from {times[0]:g} to {times[-1]:g}")
    rows = np.arange(start, len(times))
    lag = times[rows] - times[start]
    kind = "covariance" if number == 1 else "response"
    if every is None:
        axes.plot(lag, matrix[rows, start], color=colour, linewidth=1.3,
                  gid=f"theory {kind} {since:g}")
        if error is not None and np.any(error[rows, start] > 0):
            axes.fill_between(lag, (matrix - error)[rows, start], (matrix + error)[rows, start],
                              color=colour, alpha=0.25, linewidth=0, gid=f"band {kind} {since:g}")
        return
    # The step of the first curve, so that circles of all curves stand at the same lags.
    stride = max(1, round(len(times) / every))
    picked = rows[::stride]
    paper.points(axes, times[picked] - times[start], matrix[picked, start],
                 None if error is None else error[picked, start], colour,
                 gid=f"simulation {kind} {since:g}")


def _key(panels: Sequence[Axes], since: Sequence[float], simulated: bool) -> None:
    """The times s below; what a line and a circle are in the first panel."""
    if simulated:
        ink = theme.light("ink")
        kinds = [Line2D([], [], color=ink, linewidth=1.3, label="theory"),
                 Line2D([], [], color=ink, linestyle="none", marker="o", markersize=3.2,
                        markerfacecolor="none", label="simulation")]
        # Added as an artist, so that a single panel can have its other legend, too.
        panels[0].add_artist(panels[0].legend(handles=kinds, frameon=False, loc="upper right"))
    shades = [Line2D([], [], color=theme.ordered(place, max(len(since), 2)), linewidth=1.3,
                     label=f"s = {s:.4g}") for place, s in enumerate(since)]
    paper.key(panels[-1], columns=min(len(since), 4), handles=shades)
