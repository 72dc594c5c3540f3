"""Figure: damage over tokens and sparsity, with lines of equal cost and what was chosen."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from neurosparse.budgets import JoinedChoice, JoinedCurves, JoinedSurface
from neurosparse.errors import InputError
from neurosparse.report import theme

Floats = NDArray[np.float64]

_SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0,
           7.0, 10.0)
_LINES = 7
# Columns that are drawn: more would be thinner than a pixel.
_COLUMNS = 400


def joined(surface: JoinedSurface, curves: JoinedCurves, choice: JoinedChoice | None = None, *,
           width: float = 6.4) -> Figure:
    """Draw what the choice was made from.

    Parameters
    ----------
    surface
        Of the curves: the colour is its damage, the lines are points of equal cost, in shares of
        the dense model with all tokens.
    curves
        The points that were measured, drawn as dots.
    choice
        The best point (star) on the line of its cost, and the best of tokens alone and of
        sparsity alone.
    width
        Inches.

    Raises
    ------
    InputError
        One level of tokens or of sparsity: there is no plane to draw on.
    """
    if min(surface.damage.shape) < 2:
        raise InputError("draw joined budgets", found=f"a surface of {surface.damage.shape}",
                         expected="two levels or more of tokens and of sparsity")
    with theme.settings():
        figure = theme.new_figure(width, 0.75 * width)
        axes = figure.subplots()
        # Evenly in the logarithm of the tokens, as they are drawn.
        some = np.unique(np.searchsorted(surface.tokens, np.geomspace(
            surface.tokens[0], surface.tokens[-1], _COLUMNS).round()))
        some = some[some < len(surface.tokens)]
        _damage(figure, axes, surface, some)
        _cost(axes, surface, some, curves.dense, choice)
        _points(axes, curves, choice)
        theme.tidy(axes)
        axes.grid(visible=False)
        axes.set_xscale("log")
        axes.set_xticks(curves.tokens, [f"{count:,}" for count in curves.tokens])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
        axes.set_xlabel("tokens of the video")
        axes.set_ylabel("weights taken from the decoder")
        what = "operations" if curves.unit == "flops" else "seconds"
        axes.set_title(f"Damage; lines of equal {what} (1: dense, all tokens)")
        if choice is not None:
            theme.legend_below(axes, columns=1)
    return figure


def _damage(figure: Figure, axes: Axes, surface: JoinedSurface, some: NDArray[np.int64]) -> None:
    shown = surface.damage[some]
    low, high = float(shown.min()), float(shown.max())
    colours = LinearSegmentedColormap.from_list("damage", [
        (0.0, "#f7f9fb"), (0.5, "#f0b48a"), (1.0, theme.light("warm"))])
    drawn = axes.pcolormesh(
        surface.tokens[some], surface.sparsities, shown.T, cmap=colours, shading="gouraud",
        norm=PowerNorm(0.5, vmin=low, vmax=max(high, low + 1e-12)), gid="damage", rasterized=True)
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=24)
    bar.outline.set_visible(False)
    bar.set_label("damage of an answer, nats")


def _cost(axes: Axes, surface: JoinedSurface, some: NDArray[np.int64], dense: float,
          choice: JoinedChoice | None) -> None:
    shares = surface.cost[some] / dense
    levels = [one for one in _SHARES if shares.min() < one < shares.max()]
    if choice is not None and shares.min() < choice.best.cost / dense < shares.max():
        axes.contour(surface.tokens[some], surface.sparsities, shares.T,
                     levels=[choice.best.cost / dense], colors=theme.light("ink"), linewidths=1.6)
    if not levels:  # a cost that hardly varies has no lines to draw
        return
    keep = np.unique(np.linspace(0, len(levels) - 1, min(len(levels), _LINES)).round().astype(int))
    lines = axes.contour(surface.tokens[some], surface.sparsities, shares.T,
                         levels=[levels[i] for i in keep], colors=theme.light("soft"),
                         linewidths=0.9)
    axes.clabel(lines, fmt=lambda value: f"{value:g}", fontsize=8)


def _points(axes: Axes, curves: JoinedCurves, choice: JoinedChoice | None) -> None:
    x, y = np.meshgrid(curves.tokens, curves.sparsities, indexing="ij")
    axes.plot(x.ravel(), y.ravel(), linestyle="none", marker=".", markersize=4,
              color=theme.light("soft"), markeredgewidth=0, gid="measured", clip_on=False)
    if choice is None:
        return
    for name, point, marker, colour, size in (
            ("tokens alone", choice.tokens_alone, "s", "s0", 8),
            ("sparsity alone", choice.sparsity_alone, "D", "s2", 8),
            ("chosen", choice.best, "*", "ink", 15)):
        if point is not None:
            axes.plot([point.tokens], [point.sparsity], linestyle="none", marker=marker,
                      markersize=size, color=theme.light(colour), markeredgecolor="white",
                      markeredgewidth=1.0, clip_on=False, zorder=5, gid="choice",
                      label=f"{name}: {point.tokens:,} tokens, {100 * point.sparsity:.4g} %, "
                            f"{point.damage:.2g} nats")
