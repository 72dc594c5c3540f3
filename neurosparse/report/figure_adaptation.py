"""Figure: what gradual pruning and learning did, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.report import theme
from neurosparse.report.log_axis import log_axis

Floats = NDArray[np.float64]
Steps = Sequence[Mapping[str, Any]]


def adaptation(steps: Steps, *, width: float = theme.WIDE) -> Figure:
    """Draw loss over optimiser steps, and rates, ranks and errors of the blocks at every pruning.

    Parameters
    ----------
    steps
        ``LosaResult.steps``, or ``steps.json`` of ``neurosparse adapt``.

    Raises
    ------
    InputError
        No step.
    """
    if not steps:
        raise InputError("draw the adaptation", found="no step", expected="at least one")
    with theme.settings():
        narrow = width < 7
        figure = theme.new_figure(width, 10.4 if narrow else 6.4)
        panels = figure.subplots(4, 1) if narrow else figure.subplots(2, 2).ravel()
        _losses(panels[0], steps)
        _by_block(panels[1], [by_block(one["rates"]) for one in steps], "Share taken away")
        _by_block(panels[2], [np.asarray(one["errors"], float) for one in steps],
                  "Relative error of the output", logarithmic=True)
        _by_block(panels[3], [by_block(one["ranks"]) for one in steps], "Rank of the update")
        handles, labels = panels[1].get_legend_handles_labels()
        if len(steps) > 1:
            figure.legend(handles, labels, loc="outside lower center", frameon=False,
                          ncols=3 if narrow else len(labels), title="pruned to")
    return figure


def by_block(values: Mapping[str, float]) -> Floats:
    """Means over the linears of each block, array of shape (blocks,)."""
    found: dict[int, list[float]] = {}
    for name, value in values.items():
        number = next(int(part) for part in name.split(".") if part.isdigit())
        found.setdefault(number, []).append(float(value))
    return np.array([np.mean(found[number]) if number in found else np.nan
                     for number in range(max(found, default=-1) + 1)])


def _losses(axes: Axes, steps: Steps) -> None:
    losses = np.array([loss for one in steps for loss in one["losses"]], float)
    at = np.arange(1, len(losses) + 1)
    axes.plot(at, losses, color=theme.light("faint"), linewidth=1.0)
    span = max(1, len(losses) // 20)
    if len(losses) > span:
        smooth = np.convolve(losses, np.ones(span) / span, "valid")
        axes.plot(at[span - 1 :], smooth, color=theme.light("strong"), linewidth=1.6)
    begin = 0
    for one in steps[:-1]:
        begin += len(one["losses"])
        axes.axvline(begin + 0.5, color=theme.light("rule"), linewidth=1.0, zorder=0)
    theme.tidy(axes)
    axes.set_title("Loss, nats a token")
    axes.set_xlabel("optimiser step (lines: prunings)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _by_block(axes: Axes, rows: list[Floats], title: str, *, logarithmic: bool = False) -> None:
    for number, row in enumerate(rows):
        axes.plot(np.arange(len(row)), row, color=theme.ordered(number, len(rows)),
                  marker=theme.MARKERS[number % len(theme.MARKERS)], markersize=3.5,
                  linewidth=1.2, markeredgewidth=0, label=f"step {number + 1}")
    theme.tidy(axes)
    axes.set_title(title)
    axes.set_xlabel("block")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if logarithmic and all(np.nanmax(row) > 0 for row in rows):
        log_axis(axes, rows)


def describe_adaptation(steps: Steps) -> str:
    """One or two sentences that say what the figure shows."""
    losses = [loss for one in steps for loss in one["losses"]]
    text = (f"Pruned in {len(steps)} step{'s' * (len(steps) > 1)} to "
            f"{steps[-1]['sparsity']:.1%}, with {len(losses)} optimiser steps.")
    if losses:
        text += f" The loss was {losses[0]:.2f} nats at the first and {losses[-1]:.2f} at the last."
    return text
