"""What a run of pruning and learning does where it was not said otherwise."""

from __future__ import annotations

from typing import Any

from neurosparse.errors import InputError

RECIPES: dict[str, dict[str, Any]] = {
    "propagation": {"steps": 1, "rule": "propagation", "refit": 0.3, "ranks": "damage"},
    "losa": {"steps": 5, "rule": "representation", "refit": None, "ranks": "error"},
}
"""By name: ``propagation`` prunes once by measured damage and solves the kept weights again, with
ranks by the damage that is left; ``losa`` is the paper's (arXiv 2502.14816)."""


def from_recipe(name: str, *, pattern: str | None = None, update: str = "low-rank",
                **given: Any) -> dict[str, Any]:
    """Fields of ``LosaOptions``: those that are given, the recipe's for those that are None.

    Parameters
    ----------
    name
        Of ``RECIPES``.
    pattern
        N:M says how much of every linear goes: then no rule has to be measured.
    update
        Kept values have no ranks.
    given
        ``steps``, ``rule``, ``refit`` (False: none), ``ranks``.

    Raises
    ------
    InputError
        No such recipe.
    """
    if name not in RECIPES:
        raise InputError("adapt", found=f"recipe {name!r}", expected=" or ".join(RECIPES))
    found = {key: value if given.get(key) is None else given[key]
             for key, value in RECIPES[name].items()}
    fixed = pattern is not None and not pattern.startswith("n:")
    if fixed and given.get("rule") is None:
        found["rule"] = "uniform"
    if given.get("ranks") is None:
        if update == "values":
            found["ranks"] = "equal"
        elif found["rule"] != "propagation":
            found["ranks"] = "error"
    if found["refit"] is False:
        found["refit"] = None
    return {**found, "pattern": pattern, "update": update}
