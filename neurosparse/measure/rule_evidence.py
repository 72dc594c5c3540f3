"""What a rule needs measured, with the collectors' options that follow from the sparsity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosparse.budgets import evidence_for
from neurosparse.measure.collect_progression import ProgressionCollector
from neurosparse.measure.collect_propagation import PropagationCollector
from neurosparse.measure.evidence import Collector


def collector_of(name: str, sparsity: float, folder: str | Path | None = None,
                 products: str = "auto") -> str | Collector:
    """The evidence of that name for budgets up to a sparsity.

    Parameters
    ----------
    folder
        Where finished points of the path of ``propagation`` are kept.
    products
        In which type that is computed.
    """
    by_name = {one.name: one for one in (PropagationCollector, ProgressionCollector)}
    if name not in by_name:
        return name
    place = None if folder is None else Path(folder) / name
    return by_name[name](sparsity, folder=place, products=products)


def evidence_of(rule: str, sparsity: float, options: dict[str, Any], *,
                folder: str | Path | None = None, products: str = "auto"
                ) -> list[str | Collector]:
    """Evidence for one rule at one sparsity, as ``measure.profile`` takes it; none at 0.

    Parameters
    ----------
    options
        Of the rule.
    folder
        Where finished points of the path of ``propagation`` are kept.
    products
        In which type that is computed.

    Raises
    ------
    BudgetError
        Unknown rule, or wrong options.
    """
    names = evidence_for(rule, **options)
    # Where nothing goes there is nothing to choose, and no milder budget to measure it at.
    return [collector_of(name, sparsity, folder, products) for name in names] if sparsity else []
