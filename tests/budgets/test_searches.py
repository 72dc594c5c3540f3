"""Searches for a sparsity, and units of sites: what they promise, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosparse.budgets import SiteDamage, least_sparsity, structure_budget
from neurosparse.budgets.structures import cheapest_units
from neurosparse.errors import BudgetError

NAN = float("nan")


@pytest.mark.parametrize("limit", [33.0, 100.0])
def test_least_sparsity_calls_no_oftener_than_it_says(limit: float) -> None:
    calls: list[float] = []

    def value(sparsity: float) -> float:
        calls.append(sparsity)
        return 100 * (1 - sparsity)

    found = least_sparsity(value, limit, evaluations=5)
    assert len(calls) <= 5 and [at for at, _ in found.trials] == calls
    assert found.value == 100 * (1 - found.sparsity) <= limit
    assert found.bracket[0] <= 1 - limit / 100 <= found.bracket[1] == found.sparsity


def test_nan_is_beyond_the_limit() -> None:
    with pytest.raises(BudgetError, match="bytes nan"):
        least_sparsity(lambda s: NAN, 1.0)
    assert least_sparsity(lambda s: NAN if s < 0.5 else 1.0, 1.0).sparsity == pytest.approx(0.5)


@pytest.mark.parametrize("options", [{"low": 0.9, "high": 0.6}, {"low": -5.0}, {"high": 7.0},
                                     {"evaluations": 1}, {"tolerance": -1.0}])
def test_ranges_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(BudgetError, match="0 <= low < high <= 1"):
        least_sparsity(lambda s: 1 - s, 0.5, **options)


def _site(name: str = "a", **changes: Any) -> SiteDamage:
    return SiteDamage(**{"name": name, "whole": 10, "unit": 2, "choices": (0, 1, 2),
                         "errors": np.array([0.0, 1.0, 3.0]), "gain": 1.0} | changes)


def test_units_stop_where_no_next_choice_fits() -> None:
    """Dearer units would come nearer: cheapest first is what is said, not nearest."""
    five = _site(unit=5, errors=np.array([0.0, 1.0, 2.0]))
    seven = _site("b", unit=7, errors=np.array([0.0, 9.0, 18.0]))
    assert cheapest_units([five, seven], np.ones(2), 14) == [2, 0]
    assert cheapest_units([five, seven], np.ones(2), 17) == [2, 1]


@pytest.mark.parametrize("changes", [{"errors": np.array([0.0, NAN, 3.0])}, {"whole": 0},
                                     {"unit": 0}, {"errors": np.zeros(2)}])
def test_sites_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(BudgetError, match=r"of a|a of"):
        _site(**changes)


@pytest.mark.parametrize("rate", [NAN, -0.1, 1.5])
def test_structures_give_a_rate(rate: float) -> None:
    with pytest.raises(BudgetError, match="rate"):
        structure_budget([_site()], rate)
