"""Figure: what every target gives, block by block, and what that leaves of each role."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from neurosparse.budgets import Budget
from neurosparse.report import theme
from neurosparse.report.grouping import Series, block_of, by_role, merged, role_of
from neurosparse.report.numbers import percent, quantity, significant

_QUANTITY = {
    "sparsity": "share of weights removed", "heads": "heads kept", "neurons": "neurons kept",
    "experts": "experts kept", "rank": "rank", "tokens": "tokens kept", "bits": "bits a weight",
}


def rates(budget: Budget, *, width: float = theme.WIDE) -> Figure:
    """Draw the value of each target against its block, one line with marks for each role.

    Roles with equal values everywhere share a line. The mean weighted by size is a dashed line.
    For ``sparsity`` a second panel shows the weights of each role that stay and that go, which says
    something where all rates are equal, too.

    Parameters
    ----------
    budget
        Of any kind.
    width
        Inches; below 7 the panels stand under one another.
    """
    with theme.settings():
        wide, two = width >= 7, budget.kind == "sparsity"
        figure = theme.new_figure(width, 3.9 if wide else (6.2 if two else 3.6))
        if two and wide:
            left, right = figure.subplots(1, 2, width_ratios=[1.9, 1])
        elif two:
            left, right = figure.subplots(2, 1, height_ratios=[1.25, 1])
        else:
            left, right = figure.subplots(), None
        _values(left, budget, legend_columns=4 if wide else 2)
        if right is not None:
            _weights(right, budget)
    return figure


def rate_series(budget: Budget) -> list[Series]:
    """The lines of the figure; targets outside numbered blocks stand by their position."""
    names = [target.name for target in budget.targets]
    blocks = [block_of(name) for name in names]
    places = [place if block is None else block for place, block in enumerate(blocks)]
    if None in blocks:
        places = list(range(len(names)))
    return by_role(places, [role_of(name) for name in names], budget.sizes, budget.rates)


def _values(axes: Axes, budget: Budget, *, legend_columns: int) -> None:
    lines = merged(rate_series(budget))
    every = len(lines) == 1 and len(lines[0].roles) > 1
    for number, one in enumerate(lines):
        colour, marker = theme.series(number)
        if np.any(one.high > one.low):
            axes.fill_between(one.block, one.low, one.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(one.block, one.mean, color=colour, marker=marker, markersize=4.2, linewidth=1.3,
                  markeredgewidth=0, label=f"all {len(one.roles)} roles" if every else one.label,
                  gid="role")
    mean = budget.mean()
    share = budget.kind == "sparsity"
    said = percent(mean) if share else significant(mean)
    axes.axhline(mean, color=theme.light("ink"), linewidth=1.0, linestyle=(0, (4, 3)), zorder=1,
                 label=f"mean by size, {said}", gid="mean")
    theme.tidy(axes)
    axes.set_xlabel("block")
    axes.set_title(_QUANTITY[budget.kind].capitalize())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if share:
        spread = float(np.ptp(budget.rates))
        # A flat line belongs into the whole range; a varying one fills the panel.
        margin = 0.12 * spread
        low, high = budget.rates.min() - margin, budget.rates.max() + margin
        axes.set_ylim(*((0.0, 1.0) if spread < 1e-9 else (max(low, -0.02), min(high, 1.02))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    theme.legend_below(axes, columns=legend_columns)


def weights_by_role(budget: Budget) -> list[tuple[str, float, float]]:
    """Role, weights that stay, weights that go."""
    found: dict[str, tuple[float, float]] = {}
    for target in budget.targets:
        kept, gone = found.get(role_of(target.name), (0.0, 0.0))
        found[role_of(target.name)] = (kept + target.size * (1 - target.value),
                                       gone + target.size * target.value)
    return [(role, kept, gone) for role, (kept, gone) in found.items()]


def _weights(axes: Axes, budget: Budget) -> None:
    table = weights_by_role(budget)
    places = range(len(table))
    kept = [stay / 1e6 for _, stay, _ in table]
    gone = [go / 1e6 for _, _, go in table]
    axes.barh(places, kept, color=theme.light("strong"), height=0.62, label="kept")
    axes.barh(places, gone, left=kept, color=theme.light("faint"), height=0.62, label="removed")
    for place, (_, stay, go) in zip(places, table, strict=True):
        axes.annotate(f"{percent(stay / (stay + go), 0)} of {quantity(stay + go)}",
                      ((stay + go) / 1e6, place), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=8, color=theme.light("soft"))
    theme.tidy(axes)
    axes.grid(visible=False)
    axes.set_yticks(list(places), [row[0] for row in table])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    # Room for the words behind the longest bar.
    axes.set_xlim(0, 1.62 * max(a + b for a, b in zip(kept, gone, strict=True)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlabel("million weights")
    axes.set_title("Weights kept, by role")
    theme.legend_below(axes, columns=2)


def describe_rates(budget: Budget) -> str:
    """One or two sentences that say what the figure shows."""
    values, count = budget.rates, len(budget.targets)
    share = budget.kind == "sparsity"
    show = percent if share else significant
    what = _QUANTITY[budget.kind]
    if np.ptp(values) < 1e-12:
        text = f"All {count} targets have the same {what}: {show(float(values[0]))}."
    else:
        low, high = int(values.argmin()), int(values.argmax())
        text = (f"The {what} runs from {show(float(values[low]))} ({budget.targets[low].name}) to "
                f"{show(float(values[high]))} ({budget.targets[high].name}) over {count} targets; "
                f"the mean by size is {show(budget.mean())}.")
    if share:
        total = float(budget.sizes.sum())
        text += (f" Of {quantity(total)} weights in these targets "
                 f"{quantity(total * (1 - budget.mean()))} stay.")
    return text
