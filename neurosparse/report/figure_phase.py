"""Figure: the phase diagram over gain and Onsager switch, exponent and regime."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.report import paper, theme
from neurosparse.report.log_axis import tick_label

Array = NDArray[np.float64]

_COLOUR = {"null": "faint", "frozen": "strong", "finite-time": "s4", "moving": "s2",
           "chaos": "warm", "diverged": "ink"}
"""A regime's colour by its name in the theme; in the order of the key."""


class PhaseLike(Protocol):
    """A ``lyapunov.PhaseDiagram``: gain [G], gamma [Γ], exponent and stderr [G, Γ], regimes()."""

    @property
    def gain(self) -> Array:
        """g."""

    @property
    def gamma(self) -> Array:
        """γ."""

    @property
    def exponent(self) -> Array:
        """Largest exponent."""

    @property
    def stderr(self) -> Array:
        """Its standard error."""


def phase(diagram: PhaseLike, *, regimes: bool | Any = True, width: float = paper.COLUMN) -> Figure:
    """Draw the largest exponent over (g, γ), and the regime of every point below it.

    Blue is negative, orange positive, on a scale that is linear near zero and logarithmic beyond.
    A dot stands where the exponent is within two standard errors of zero. A diagram with one γ (or
    one g) is drawn as a curve with its errors, coloured by regime.

    Parameters
    ----------
    diagram
        A ``lyapunov.PhaseDiagram``, or any object with its ``gain``, ``gamma``, ``exponent`` and
        ``stderr``.
    regimes
        Whether to draw them, where the diagram has ``regimes()``; or an array [G, Γ] of their
        names (null, frozen, finite-time, moving, chaos, diverged).
    width
        Inches.

    Raises
    ------
    InputError
        Arrays that do not belong together, no finite exponent, or an unknown regime.
    """
    gain, gamma, exponent, error = _arrays(diagram)
    words = _words(diagram, regimes, exponent.shape)
    with paper.settings():
        if 1 in exponent.shape:
            figure = theme.new_figure(width, 2.6)
            _curve(figure.subplots(), gain, gamma, exponent, error, words)
            return figure
        figure = theme.new_figure(width, 2.5 if words is None else 4.6)
        rows = 1 if words is None else 2
        panels = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
        paper.letters(panels, ["Largest exponent λ₁", "Regime"][:len(panels)])
        _exponents(figure, panels[0], gain, gamma, exponent, error)
        if words is not None:
            _regimes(panels[1], gain, gamma, words)
        for axes in panels:
            axes.set_ylabel("γ")
            axes.tick_params(length=3)
        panels[-1].set_xlabel("g")
    return figure


def _arrays(diagram: PhaseLike) -> tuple[Array, Array, Array, Array]:
    gain, gamma, exponent, error = (np.asarray(part, dtype=np.float64) for part in (
        diagram.gain, diagram.gamma, diagram.exponent, diagram.stderr))
    if exponent.shape != (gain.size, gamma.size) or error.shape != exponent.shape:
        raise InputError("draw a phase diagram",
                         found=f"exponents {exponent.shape}, errors {error.shape}",
                         expected=f"{(gain.size, gamma.size)}: one for each g and γ")
    if not np.any(np.isfinite(exponent)):
        raise InputError("draw a phase diagram", found="no finite exponent",
                         expected="at least one run that did not diverge")
    # Cells are drawn between neighbours, so both axes go up.
    rows, columns = np.argsort(gain), np.argsort(gamma)
    return gain[rows], gamma[columns], exponent[rows][:, columns], error[rows][:, columns]


def _words(diagram: PhaseLike, regimes: bool | Any, shape: tuple[int, ...]
           ) -> NDArray[np.str_] | None:
    if regimes is False or (regimes is True and not hasattr(diagram, "regimes")):
        return None
    found = np.asarray(diagram.regimes() if regimes is True else regimes)  # type: ignore[attr-defined]
    strange = sorted(set(found.ravel().tolist()) - set(_COLOUR))
    if found.shape != shape or strange:
        raise InputError("draw a phase diagram",
                         found=f"regimes of shape {found.shape}" if found.shape != shape
                         else f"regime {strange[0]!r}",
                         expected=f"{shape} of " + ", ".join(_COLOUR))
    order = np.ix_(np.argsort(diagram.gain), np.argsort(diagram.gamma))
    return np.asarray(found[order], dtype=np.str_)


def cell_edges(centres: Array) -> Array:
    """Ends of cells around the centres: halfway between neighbours."""
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[1.5 * centres[0] - 0.5 * centres[1]], middle,
                           [1.5 * centres[-1] - 0.5 * centres[-2]]])


def _exponents(figure: Figure, axes: Axes, gain: Array, gamma: Array, exponent: Array,
               error: Array) -> None:
    largest = float(np.nanmax(np.abs(exponent))) or 1.0
    norm = SymLogNorm(linthresh=0.1 * largest, vmin=-largest, vmax=largest)
    colours = LinearSegmentedColormap.from_list("exponent", [
        (0.0, theme.light("s0")), (0.2, theme.light("strong")), (0.5, "#f4f4f4"),
        (0.8, theme.light("warm")), (1.0, theme.light("s6"))])
    axes.set_facecolor(theme.light("faint"))  # where there is no value
    drawn = axes.pcolormesh(cell_edges(gain), cell_edges(gamma), np.ma.masked_invalid(exponent.T),
                            norm=norm, cmap=colours, gid="exponent", rasterized=True)
    unsure = np.abs(exponent) <= 2 * error
    x, y = np.meshgrid(gain, gamma, indexing="ij")
    axes.plot(x[unsure], y[unsure], linestyle="none", marker=".", markersize=3,
              color=theme.light("ink"), markeredgewidth=0, gid="zero")
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=14)
    bar.outline.set_visible(False)
    decade = 10.0 ** np.floor(np.log10(largest))
    ticks = [step * decade for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
             if 0.1 * largest <= step * decade <= largest]
    bar.ax.yaxis.set_major_locator(FixedLocator([-tick for tick in ticks] + [0.0, *ticks]))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(
        lambda value, _: "0" if value == 0 else
        ("−" if value < 0 else "") + tick_label(abs(value))))


def _regimes(axes: Axes, gain: Array, gamma: Array, words: NDArray[np.str_]) -> None:
    names = [name for name in _COLOUR if np.any(words == name)]
    number = np.zeros(words.shape)
    for place, name in enumerate(names):
        number[words == name] = place
    axes.pcolormesh(cell_edges(gain), cell_edges(gamma), number.T, vmin=-0.5,
                    vmax=len(names) - 0.5, gid="regime", edgecolors="white", linewidth=0.6,
                    cmap=ListedColormap([theme.light(_COLOUR[name]) for name in names]))
    handles = [Patch(color=theme.light(_COLOUR[name]), label=name) for name in names]
    paper.key(axes, columns=3, handles=handles)


def _curve(axes: Axes, gain: Array, gamma: Array, exponent: Array, error: Array,
           words: NDArray[np.str_] | None) -> None:
    one_gamma = len(gamma) == 1
    x = gain if one_gamma else gamma
    y, bars = exponent.ravel(), np.nan_to_num(error.ravel())
    fixed = f"γ = {gamma[0]:g}" if one_gamma else f"g = {gain[0]:g}"
    paper.letters([axes], [f"Largest exponent λ₁ at {fixed}"])
    axes.axhline(0, color=theme.light("faint"), linewidth=0.9)
    axes.plot(x, y, color=theme.light("soft"), linewidth=0.9, gid="exponent")
    kinds = np.full(y.shape, "") if words is None else words.ravel()
    for name in dict.fromkeys(kinds.tolist()):
        mine = (kinds == name) & np.isfinite(y)
        # The pale grey of cells would be lost as a circle.
        colour = theme.light("soft" if name == "null" else _COLOUR.get(name, "strong"))
        paper.points(axes, x[mine], y[mine], bars[mine], colour, gid=f"points {name}".strip(),
                     label=name or None)
    theme.tidy(axes)
    axes.set_xlabel("g" if one_gamma else "γ")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    if words is not None:
        paper.key(axes, columns=3)
