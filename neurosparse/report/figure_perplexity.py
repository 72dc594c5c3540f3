"""Figure: perplexity dense against packed, and what every window says about the difference."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from neurosparse.errors import InputError
from neurosparse.records import RunRecord
from neurosparse.report import theme
from neurosparse.report.numbers import significant, with_error
from neurosparse.report.results import Results, Row


def perplexity(run: RunRecord, *, width: float = theme.WIDE) -> Figure:
    """Draw the perplexity of each row with its standard error, and the paired difference by window.

    The second panel (nats a token, packed less dense, over the same windows) is there where both
    rows carry ``nll_by_window`` of one length.

    Parameters
    ----------
    run
        The record of ``compress``.
    width
        Inches; below 7 the panels stand under one another.

    Raises
    ------
    InputError
        No row has a finite perplexity.
    FormatError
        The results have a field of the wrong type.
    """
    results = Results.of(run)
    rows = measured_rows(results)
    pair = results.pair()
    with theme.settings():
        wide = width >= 7
        height = 0.62 * len(rows) + 1.0
        figure = theme.new_figure(
            width, (max(3.1, height) if pair else height) if wide else height + (2.7 if pair else 0)
        )
        if pair is None:
            _levels(figure.subplots(), rows)
        else:
            left, right = (figure.subplots(1, 2, width_ratios=[1, 1.25]) if wide
                           else figure.subplots(2, 1, height_ratios=[height, 2.7]))
            _levels(left, rows)
            _differences(right, results, *pair)
    return figure


def measured_rows(results: Results) -> list[Row]:
    """Rows with a finite perplexity.

    Raises
    ------
    InputError
        There is none.
    """
    found = [row for row in results.rows
             if row.perplexity is not None and math.isfinite(row.perplexity)]
    if not found:
        raise InputError("draw the perplexity", found="no row with a finite perplexity",
                         expected="at least one")
    return found


def _levels(axes: Axes, rows: list[Row]) -> None:
    ends = [row.perplexity + _error(row) for row in rows if row.perplexity is not None]
    for place, row in enumerate(rows):
        assert row.perplexity is not None
        colour = theme.light("warm" if row.packed else "strong")
        axes.plot([0, row.perplexity], [place, place], color=colour, linewidth=1.2, alpha=0.45)
        axes.errorbar([row.perplexity], [place], xerr=[_error(row)], color=colour, linewidth=1.6,
                      capsize=3.5, marker="s" if row.packed else "o", markersize=6.5, gid=row.name)
        axes.annotate(with_error(row.perplexity, row.perplexity_stderr), (row.perplexity, place),
                      # Near the axis the words would run into the names beside it.
                      ha="left" if row.perplexity < 0.2 * max(ends) else "center", va="bottom",
                      xytext=(0, 9), textcoords="offset points", color=colour, fontweight="bold")
    theme.tidy(axes, grid="x")
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.45, -0.75)
    axes.set_xlim(0, 1.18 * max(ends))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_title("Perplexity ± standard error")


def _error(row: Row) -> float:
    """Standard error to draw: none where it is not known."""
    error = row.perplexity_stderr
    return 0.0 if error is None or not math.isfinite(error) else error


def _differences(axes: Axes, results: Results, dense: Row, packed: Row) -> None:
    gap = np.asarray(packed.nll_by_window) - np.asarray(dense.nll_by_window)
    places = np.arange(1, len(gap) + 1)
    colour = theme.light("warm")
    axes.vlines(places, 0, gap, color=theme.light("faint"), linewidth=1.2)
    axes.plot(places, gap, linestyle="none", marker="o", markersize=3.6, color=colour,
              markeredgewidth=0, gid="windows")
    axes.axhline(0, color=theme.light("faint"), linewidth=1.0)
    if results.paired is not None:
        mean, error = results.paired.difference, results.paired.stderr
        label = f"mean {with_error(mean, error)}"
        axes.axhline(mean, color=theme.light("ink"), linewidth=1.2, gid="mean", label=label)
        if error is not None and math.isfinite(error):
            axes.axhspan(mean - error, mean + error, color=theme.light("ink"), alpha=0.14,
                         linewidth=0)
        theme.legend_below(axes, columns=1)
    theme.tidy(axes)
    axes.set_xlabel("window of the report text")
    axes.set_title("Nats a token, packed less dense")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    low, high = min(0.0, float(gap.min())), max(0.0, float(gap.max()))
    axes.set_ylim(low - 0.06 * (high - low or 1.0), high + 0.12 * (high - low or 1.0))


def describe_perplexity(results: Results) -> str:
    """One or two sentences that say what the figure shows."""
    said = ", ".join(f"{row.name} {with_error(row.perplexity, row.perplexity_stderr)}"
                     for row in measured_rows(results))
    text = f"Perplexity: {said}."
    pair = results.pair()
    if pair is not None and results.paired is not None:
        gap = np.asarray(pair[1].nll_by_window) - np.asarray(pair[0].nll_by_window)
        text += (f" Over the same {len(gap)} windows {pair[1].name} costs "
                 f"{with_error(results.paired.difference, results.paired.stderr)} nats a token "
                 f"more than {pair[0].name}, between {significant(float(gap.min()))} and "
                 f"{significant(float(gap.max()))} by window.")
    return text
