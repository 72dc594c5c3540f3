"""What the rule of a run needs measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosparse.budgets import evidence_for
from neurosparse.measure import Collector, PropagationCollector


def evidence_of(rule: str, sparsity: float, options: dict[str, Any], *,
                folder: str | Path | None = None) -> list[str | Collector]:
    """Evidence for one rule at one sparsity, as ``measure.profile`` takes it.

    Parameters
    ----------
    options
        Of the rule.
    folder
        Where finished points of the path of ``propagation`` are kept.

    Raises
    ------
    BudgetError
        Unknown rule, or wrong options.
    """
    return [PropagationCollector(sparsity, folder=folder) if name == PropagationCollector.name
            else name for name in evidence_for(rule, **options)]
