"""Does a budget or a profile belong to this model, and a profile to this text?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosparse.budgets.budget import Budget, ModelIdentity
from neurosparse.budgets.profile import Profile
from neurosparse.errors import BudgetError

Identity = ModelIdentity | Mapping[str, Any] | None
_FORCE = "If it is meant all the same: force=True (--force)."
TEXT = ("sha256", "windows", "length", "seed")
"""Entries of a text's identity that must agree where both sides have them."""


def _fields(identity: Identity) -> Mapping[str, Any]:
    if identity is None:
        return {}
    return identity.model_dump() if isinstance(identity, ModelIdentity) else identity


def _named(identity: Mapping[str, Any]) -> str:
    return f"{identity.get('name', 'a model')} ({str(identity.get('sha256', '?'))[:12]})"


def check_model(found: Identity, expected: Identity, *, what: str, operation: str,
                force: bool = False) -> None:
    """Refuse a thing made for another model.

    Only the hashes of names and shapes are compared. A thing that names no model fits every model.

    Parameters
    ----------
    found
        The model that the thing was made for.
    expected
        The model that it is to be used with.
    what
        The thing, as the message says it: ``"budget"``, ``"profile"``.
    force
        Let it pass.

    Raises
    ------
    BudgetError
        The models differ; both are named.
    """
    mine, theirs = _fields(found), _fields(expected)
    if force or not mine.get("sha256") or not theirs.get("sha256"):
        return
    if mine["sha256"] != theirs["sha256"]:
        raise BudgetError(operation, found=f"a {what} made for {_named(mine)}",
                          expected=f"one made for {_named(theirs)}", mend=_FORCE)


def check_text(found: Mapping[str, Any], expected: Mapping[str, Any] | None, *, operation: str,
               force: bool = False) -> None:
    """Refuse a profile measured on another text, or on other windows of it.

    Raises
    ------
    BudgetError
        Names the text and the entry that differs on both sides.
    """
    if force or not expected:
        return
    for key in TEXT:
        if key in found and key in expected and found[key] != expected[key]:
            raise BudgetError(
                operation,
                found=f"a profile of text {found.get('name', '?')!r} with {key}={found[key]!r}",
                expected=f"text {expected.get('name', '?')!r} with {key}={expected[key]!r}",
                mend=_FORCE)


def check_profile(profile: Profile, *, model: Identity = None,
                  calibration: Mapping[str, Any] | None = None, operation: str = "allocate",
                  force: bool = False) -> None:
    """Refuse a profile of another model or of another text.

    Parameters
    ----------
    model, calibration
        What the profile is to be used with, as ``models.identity`` and the text's identity say.
    force
        Let it pass.

    Raises
    ------
    BudgetError
        Names both sides.
    """
    check_model(profile.model, model, what="profile", operation=operation, force=force)
    check_text(profile.calibration, calibration, operation=operation, force=force)


def check_budget(budget: Budget, *, model: Identity = None, profile: Profile | None = None,
                 operation: str = "prune", force: bool = False) -> None:
    """Refuse a budget for another model, or one that was not decided from this profile.

    Raises
    ------
    BudgetError
        Names both sides.
    """
    check_model(budget.model, model, what="budget", operation=operation, force=force)
    if profile is None or force:
        return
    check_model(budget.model, profile.model, what="budget", operation=operation)
    made_from = budget.rule.profile_sha256
    # Budgets made before names and shapes of arrays were hashed still fit their profile.
    if made_from is not None and made_from not in (profile.sha256, profile.old_sha256):
        raise BudgetError(operation, found=f"a budget decided from profile {made_from[:12]}",
                          expected=f"one decided from profile {profile.sha256[:12]}", mend=_FORCE)
