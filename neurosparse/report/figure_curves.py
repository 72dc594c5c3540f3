"""Figure: local error curves, one panel for each role, coloured by block."""

from __future__ import annotations

import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from neurosparse.budgets import Budget, Profile
from neurosparse.errors import InputError
from neurosparse.report import theme
from neurosparse.report.grouping import role_of
from neurosparse.report.log_axis import log_axis
from neurosparse.report.numbers import percent, significant

Floats = NDArray[np.float64]


def curves(profile: Profile, *, budget: Budget | None = None, width: float = theme.WIDE) -> Figure:
    """Draw the relative squared output error of each target against its sparsity.

    Parameters
    ----------
    profile
        With ``curves``. Where a block has several targets of a role (experts), their median.
    budget
        Marks the mean rate of each role, if given.
    width
        Inches; below 7 there are two panels a row.

    Raises
    ------
    InputError
        The profile has no curves.
    """
    panels = curve_panels(profile)
    assert profile.curves is not None
    columns = min(4 if width >= 7 else 2, len(panels))
    rows = -(-len(panels) // columns)
    with theme.settings():
        figure = theme.new_figure(width, 2.05 * rows + 0.95)
        grid = figure.add_gridspec(rows + 1, columns, height_ratios=[*[1.0] * rows, 0.07])
        blocks = sorted({block for lines in panels.values() for block in lines})
        colour = {block: theme.ordered(i, len(blocks)) for i, block in enumerate(blocks)}
        first: Axes | None = None
        for place, (role, lines) in enumerate(panels.items()):
            row, column = divmod(place, columns)
            axes = figure.add_subplot(grid[row, column], sharex=first, sharey=first)
            first = first or axes
            for block, error in lines.items():
                axes.plot(profile.curves.levels, error, color=colour[block], linewidth=1.0,
                          gid=f"block {block}")
            _mark(axes, role, budget)
            _dress(axes, role, left=column == 0, bottom=place + columns >= len(panels))
        assert first is not None
        log_axis(first, [error for lines in panels.values() for error in lines.values()])
        _scale(figure.add_subplot(grid[rows, :]), blocks, colour)
        figure.supylabel("relative squared output error", fontsize=9, color=theme.light("soft"))
    return figure


def curve_panels(profile: Profile) -> dict[str, dict[int, Floats]]:
    """``{role: {block: error at each level}}``: the lines of the figure.

    Raises
    ------
    InputError
        The profile has no curves.
    """
    if profile.curves is None:
        raise InputError("draw local error curves", found="a profile without curves",
                         expected="one with the group /curves")
    found: dict[str, dict[int, Floats]] = {}
    roles = np.asarray(profile.roles, object)
    for role in dict.fromkeys(profile.roles):
        lines = {}
        for block in np.unique(profile.block[roles == role]):
            errors = profile.curves.error[(roles == role) & (profile.block == block)]
            with warnings.catch_warnings():
                # An expert that calibration never reached has no curve (nan).
                warnings.simplefilter("ignore", RuntimeWarning)
                middle = errors[0] if len(errors) == 1 else np.nanmedian(errors, axis=0)
            if np.isfinite(middle).any():
                lines[int(block)] = np.asarray(middle, float)
        if lines:
            found[role] = lines
    if not found:
        raise InputError("draw local error curves", found="only nan", expected="finite errors")
    return found


def _mark(axes: Axes, role: str, budget: Budget | None) -> None:
    if budget is None or budget.kind != "sparsity":
        return
    mine = [target for target in budget.targets if role_of(target.name) == role]
    if mine:
        rate = float(np.average([t.value for t in mine], weights=[t.size for t in mine]))
        axes.axvline(rate, color=theme.light("ink"), linewidth=0.9, linestyle=(0, (4, 3)),
                     zorder=1, gid="rate")


def _dress(axes: Axes, role: str, *, left: bool, bottom: bool) -> None:
    theme.tidy(axes)
    axes.set_title(role)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.tick_params(labelleft=left, labelbottom=bottom)
    if bottom:
        axes.set_xlabel("sparsity")


def _scale(axes: Axes, blocks: list[int], colour: dict[int, str]) -> None:
    """The legend of the colours: one cell for each block."""
    for place, block in enumerate(blocks):
        axes.bar(place, 1.0, width=1.0, color=colour[block], edgecolor=colour[block],
                 linewidth=0.6)
    axes.set_xlim(-0.5, len(blocks) - 0.5)
    axes.set_ylim(0, 1)
    step = max(1, round(len(blocks) / 6))
    places = list(range(0, len(blocks), step))
    axes.set_xticks(places, [str(blocks[place]) for place in places])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("block")


def describe_curves(profile: Profile) -> str:
    """One sentence that says what the figure shows, at the level nearest to one half."""
    panels = curve_panels(profile)
    assert profile.curves is not None
    at = int(np.abs(profile.curves.levels - 0.5).argmin())
    points = [(float(error[at]), role, block) for role, lines in panels.items()
              for block, error in lines.items() if np.isfinite(error[at])]
    if not points:
        return f"Local error curves of {len(profile.names)} targets."
    low, high = min(points), max(points)
    rate = percent(float(profile.curves.levels[at]), 0)
    return (f"Pruned alone by {profile.curves.method} to {rate}, a linear "
            f"loses between {significant(low[0])} ({low[1]}, block {low[2]}) and "
            f"{significant(high[0])} ({high[1]}, block {high[2]}) of its output’s energy.")
