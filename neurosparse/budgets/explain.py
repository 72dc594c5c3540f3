"""Why a rule gives what it gives: its evidence beside its rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.budget import Budget
from neurosparse.budgets.form import form_of
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.rules import RULES, allocate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """A budget with what its rule looked at.

    Attributes
    ----------
    budget
        As ``allocate`` makes it.
    columns
        Arrays of shape (targets,) by heading; empty for rules that measure nothing.
    notes
        Single numbers found on the way.
    """

    budget: Budget
    columns: dict[str, Floats]
    notes: dict[str, Any]

    def __str__(self) -> str:
        heads = ["rate", *self.columns]
        width = max(len(target.name) for target in self.budget.targets)
        lines = [f"{'target':<{width}}  {'parameters':>11}  "
                 + "  ".join(f"{head:>{max(len(head), 9)}}" for head in heads)]
        for at, target in enumerate(self.budget.targets):
            values = [target.value, *(column[at] for column in self.columns.values())]
            cells = [f"{value:>{max(len(head), 9)}.4g}"
                     for head, value in zip(heads, values, strict=True)]
            lines.append(f"{target.name:<{width}}  {target.size:>11,}  " + "  ".join(cells))
        return "\n".join([*lines, *(f"{name}: {value}" for name, value in self.notes.items())])


def explain(profile: Profile, sparsity: float, *, rule: str = "uniform", **options: Any
            ) -> Explanation:
    """Allocate, and say from what.

    Parameters
    ----------
    profile, sparsity, rule, options
        As for ``allocate``. At a sparsity of 0 nothing needs to be measured, and no column is made.

    Raises
    ------
    BudgetError
        As ``allocate``.
    """
    budget = allocate(profile, sparsity, rule=rule, **options)
    asked, own = budget.total.asked, budget.rule.options
    columns = form_of(RULES[rule]).columns(profile, asked, own) if asked else {}
    return Explanation(budget, columns, dict(budget.rule.notes))
