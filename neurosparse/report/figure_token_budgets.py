"""Figure: accuracy against a video's tokens, by the way in which they are chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.report import theme
from neurosparse.report.numbers import percent

Floats = NDArray[np.float64]
ByBudget = Mapping[int, Floats]
"""Tokens to accuracies, one a video: their mean is drawn, with its standard error."""

_PLANTED = "planted "


def token_budgets(rows: Mapping[str, ByBudget], blind: Collection[str] = (), *,
                  width: float = theme.WIDE) -> Figure:
    """Draw the ways of choosing tokens, and beside them planted scorers of known rates.

    Parameters
    ----------
    rows
        Accuracies by way and budget. A way whose name begins with "planted" goes into the second
        panel; one with a single budget is a level across the panels ("all tokens").
    blind
        Ways that do not know the question: drawn with broken lines, the best of them in both
        panels.
    width
        Inches; below 7 the panels stand under one another.

    Raises
    ------
    InputError
        No way with more than one budget.
    """
    curves = {name: found for name, found in rows.items() if len(found) > 1}
    if not curves:
        raise InputError("draw token budgets", found="no way with two budgets or more",
                         expected="one or more")
    planted = {name: found for name, found in curves.items() if name.startswith(_PLANTED)}
    ways = {name: found for name, found in curves.items() if name not in planted}
    levels = {name: found for name, found in rows.items() if len(found) == 1}
    with theme.settings():
        wide, both = width >= 7, bool(planted and ways)
        figure = theme.new_figure(width, 5.0 if wide else 9.4 if both else 5.0)
        shape = (1, 2) if wide and both else (2, 1) if both else (1, 1)
        panels = list(figure.subplots(*shape, squeeze=False, sharey=True).flat)
        if ways:
            axes = panels.pop(0)
            for number, (name, found) in enumerate(ways.items()):
                colour, marker = theme.series(number)
                _curve(axes, name, found, colour, marker, broken=name in blind)
            _finish(axes, curves, levels, "Accuracy, by what chooses the tokens")
        if planted:
            axes = panels.pop(0)
            for number, (name, found) in enumerate(planted.items()):
                _curve(axes, name.removeprefix(_PLANTED), found,
                       theme.ordered(number, len(planted)),
                       theme.MARKERS[number % len(theme.MARKERS)], broken=False)
            known = [name for name in blind if name in ways]
            if known:
                best = max(known, key=lambda name: np.mean(list(map(np.mean, ways[name].values()))))
                _curve(axes, best, ways[best], theme.light("soft"), "", broken=True)
            _finish(axes, curves, levels, "Planted scorers: hits/false alarms")
    return figure


def _curve(axes: Axes, name: str, found: ByBudget, colour: str, marker: str, *, broken: bool
           ) -> None:
    tokens = sorted(found)
    means = [float(np.mean(found[count])) for count in tokens]
    errors = [_error(found[count]) for count in tokens]
    axes.errorbar(tokens, means, yerr=errors, color=colour, marker=marker, markersize=4.5,
                  markeredgewidth=0, linewidth=1.3, elinewidth=0.8,
                  linestyle=(0, (4, 2)) if broken else "-", label=name, gid="way")


def _error(values: Floats) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _finish(axes: Axes, curves: Mapping[str, ByBudget], levels: Mapping[str, ByBudget],
            title: str) -> None:
    for name, found in levels.items():
        ((tokens, values),) = found.items()
        axes.axhline(float(np.mean(values)), color=theme.light("faint"), linewidth=1.2, zorder=0,
                     label=f"{name} ({tokens:,})")
    theme.tidy(axes)
    axes.set_xscale("log")
    ticks = sorted({count for found in curves.values() for count in found})
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.set_xlabel("tokens of the video")
    axes.set_title(title)
    theme.legend_below(axes, columns=2)


def describe_token_budgets(rows: Mapping[str, ByBudget]) -> str:
    """One sentence a way: its accuracy at the smallest and the greatest budget."""
    parts = []
    for name, found in rows.items():
        least, most = min(found), max(found)
        low, high = (percent(float(np.mean(found[count]))) for count in (least, most))
        parts.append(f"{name}: {low} with {least:,} tokens" + (
            f", {high} with {most:,}." if most > least else "."))
    return " ".join(parts)
