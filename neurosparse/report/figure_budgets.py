"""Figure: what several rules make of one profile, block by block and role by role."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from neurosparse.budgets import Budget
from neurosparse.errors import InputError
from neurosparse.report import theme
from neurosparse.report.grouping import block_of, role_of
from neurosparse.report.numbers import percent


def budgets(by_rule: Mapping[str, Budget], *, width: float = theme.WIDE) -> Figure:
    """Draw the mean rate of every block by rule, and beside it the mean rate of every role.

    Parameters
    ----------
    by_rule
        Budgets of kind ``sparsity`` for the same targets, by the name that the legend shows.
    width
        Inches; below 7 the panels stand under one another.

    Raises
    ------
    InputError
        No budget, another kind, or other targets.
    """
    if not by_rule:
        raise InputError("draw budgets", found="none", expected="at least one")
    first = next(iter(by_rule.values()))
    names = [target.name for target in first.targets]
    for rule, budget in by_rule.items():
        if budget.kind != "sparsity" or [t.name for t in budget.targets] != names:
            raise InputError("draw budgets", found=f"{rule!r} with other targets or kind",
                             expected="budgets of kind sparsity for the same linears")
    with theme.settings():
        wide = width >= 7
        figure = theme.new_figure(width, 4.0 if wide else 6.4)
        left, right = (figure.subplots(1, 2, width_ratios=[1.9, 1]) if wide
                       else figure.subplots(2, 1))
        roles = list(dict.fromkeys(role_of(name) for name in names))
        step = 0.8 / len(by_rule)
        for number, (rule, budget) in enumerate(by_rule.items()):
            colour, marker = theme.series(number)
            blocks, rates = block_means(budget)
            left.plot(blocks, rates, color=colour, marker=marker, markersize=4.0, linewidth=1.3,
                      markeredgewidth=0, label=rule, gid="rule")
            places = np.arange(len(roles)) + (number - 0.5 * (len(by_rule) - 1)) * step
            means = role_means(budget)
            right.plot([means[role] for role in roles], places, color=colour, marker=marker,
                       markersize=5.0, linestyle="none", markeredgewidth=0)
        theme.tidy(left)
        left.set_xlabel("block")
        left.set_title("Mean share removed, by block")
        left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
        theme.legend_below(left, columns=4 if wide else 2)
        theme.tidy(right)
        right.set_yticks(range(len(roles)), roles)
        right.invert_yaxis()
        right.set_title("By role")
        right.xaxis.set_major_locator(MaxNLocator(nbins=4))
        right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    return figure


def block_means(budget: Budget) -> tuple[list[int], list[float]]:
    """Blocks in order and their mean rates, weighted by parameters."""
    where = [block_of(target.name) for target in budget.targets]
    known = sorted({one for one in where if one is not None})
    means = [_mean(budget, [block == one for block in where]) for one in known]
    return known, means


def role_means(budget: Budget) -> dict[str, float]:
    """Mean rate of every role, weighted by parameters."""
    roles = [role_of(target.name) for target in budget.targets]
    return {one: _mean(budget, [role == one for role in roles]) for one in dict.fromkeys(roles)}


def _mean(budget: Budget, chosen: list[bool]) -> float:
    return float(np.average(budget.rates[chosen], weights=budget.sizes[chosen]))


def describe_budgets(by_rule: Mapping[str, Budget]) -> str:
    """One sentence a rule: the range of its blocks' means."""
    parts = []
    for rule, budget in by_rule.items():
        _, means = block_means(budget)
        parts.append(f"{rule}: blocks give {percent(min(means))} to {percent(max(means))}.")
    return " ".join(parts)
