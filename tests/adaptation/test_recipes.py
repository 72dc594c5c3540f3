"""What is taken where nothing was asked."""

from __future__ import annotations

from typing import Any

import pytest

from neurosparse.adaptation import RECIPES, UNPRUNED, LosaOptions, from_recipe
from neurosparse.errors import InputError


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_is_a_run(name: str) -> None:
    """Nothing given: the recipe's own fields, which the options take."""
    found = from_recipe(name)
    assert {key: found[key] for key in RECIPES[name]} == RECIPES[name]
    LosaOptions(sparsity=0.5, **found)


@pytest.mark.parametrize(("given", "expected"), [
    ({"steps": 3, "refit": 0.5}, {"steps": 3, "refit": 0.5, "rule": "propagation"}),
    ({"refit": False}, {"refit": None, "ranks": "damage"}),
    ({"refit": 0.0}, {"refit": 0.0}),
    ({"rule": "owl"}, {"rule": "owl", "ranks": "error"}),
    ({"update": "values"}, {"ranks": "equal", "rule": "propagation"}),
    ({"pattern": "2:4"}, {"rule": "uniform", "ranks": "error"}),
    ({"pattern": "n:8"}, {"rule": "propagation", "ranks": "damage"}),
    ({"pattern": "2:4", "rule": "propagation", "ranks": "damage"}, {"rule": "propagation"}),
])
def test_what_is_given_stands(given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = from_recipe("propagation", **given)
    assert {key: found[key] for key in expected} == expected
    LosaOptions(sparsity=0.5, **found)


def test_refused() -> None:
    with pytest.raises(InputError, match="propagation or losa"):
        from_recipe("bread")


@pytest.mark.parametrize("given", [
    {"steps": 3}, {"rule": "uniform"}, {"method": "sparsegpt"}, {"refit": 0.0},
    {"pattern": "2:4"}, {"regrow": True}, {"ranks": "error"},
])
def test_nothing_says_how_to_prune_where_nothing_is_pruned(given: dict[str, Any]) -> None:
    LosaOptions(**UNPRUNED)
    with pytest.raises(InputError, match="without a sparsity"):
        LosaOptions(**{**UNPRUNED, **given})
