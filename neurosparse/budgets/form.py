"""What a rule says of itself: the evidence that it needs, and the columns that explain it.

A rule is a function ``rates(profile, sparsity, *, options)``. ``rule_form`` above it names its
evidence; without it a rule needs nothing but sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.profile import Profile
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
Names = Callable[[Mapping[str, Any]], tuple[str, ...]]
Columns = Callable[[Profile, float, Mapping[str, Any]], dict[str, Floats]]
Notes = Callable[[Profile, float, Mapping[str, Any]], dict[str, Any]]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class RuleForm:
    """Evidence that a rule needs, given its options; and what ``explain`` shows beside its rates.

    Attributes
    ----------
    evidence
        ``evidence(options)``: names that ``measure.profile`` takes.
    columns
        ``columns(profile, sparsity, options)``: arrays of shape (targets,) by heading.
    notes
        ``notes(profile, sparsity, options)``: what was found on the way and belongs into the
        budget's file beside the options (the step that was predicted).
    """

    evidence: Names
    columns: Columns
    notes: Notes


def _nothing(options: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


def _empty(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Any]:
    return {}


_PLAIN = RuleForm(_nothing, _empty, _empty)
_FORMS: dict[Callable[..., Any], RuleForm] = {}


def rule_form(*, evidence: tuple[str, ...] | Names = (), columns: Columns | None = None,
              notes: Notes | None = None) -> Callable[[Function], Function]:
    """Decorate a rule with what it needs and how it explains itself.

    Parameters
    ----------
    evidence
        Names, or a function of the rule's options where they decide.
    columns
        What ``explain`` shows; nothing by default.
    notes
        What goes into the budget beside the options; nothing by default.
    """
    def names(options: Mapping[str, Any]) -> tuple[str, ...]:
        return evidence(options) if callable(evidence) else evidence

    def mark(function: Function) -> Function:
        _FORMS[function] = RuleForm(names, columns or _empty, notes or _empty)
        return function

    return mark


def form_of(function: Callable[..., Any]) -> RuleForm:
    """The form of a rule; that of a rule that measures nothing where none was given."""
    return _FORMS.get(function, _PLAIN)


def evidence_missing(profile: Profile, names: tuple[str, ...]) -> list[str]:
    """Those of the names that the profile lacks."""
    return [name for name in names
            if (profile.curves is None if name == "curves" else name not in profile.evidence)]


def check_evidence(profile: Profile, names: tuple[str, ...], operation: str) -> None:
    """Refuse a profile without the evidence that a rule needs.

    Raises
    ------
    BudgetError
        Names what is missing and the call that measures it.
    """
    missing = evidence_missing(profile, names)
    if missing:
        have = (["curves"] if profile.curves is not None else []) + sorted(profile.evidence)
        raise BudgetError(
            operation,
            found=f"a profile with evidence {have} and without {missing}",
            expected=f"a profile with {sorted(names)}",
            mend=f"Measure it: measure.profile(model, windows, evidence={tuple(names)!r}).",
        )


def array_of(profile: Profile, evidence: str, name: str) -> Floats:
    """One array of the evidence.

    Single numbers may be nan (an expert that no token reached), but not all of them: rates from
    nothing would look like a choice.

    Raises
    ------
    BudgetError
        The profile has the evidence, but not this array (another version measured it), or the
        array has no finite number.
    """
    arrays = profile.evidence.get(evidence, {})
    if name not in arrays:
        raise BudgetError(f"read the evidence {evidence!r}", found=f"arrays {sorted(arrays)}",
                          expected=f"one called {name!r}", mend="Measure the profile again.")
    if not np.isfinite(arrays[name]).any():
        raise BudgetError(f"read the evidence {evidence!r}",
                          found=f"no finite number in its array {name!r}",
                          expected="some at least", mend="Measure the profile again.")
    return arrays[name]


def all_finite(values: Floats, evidence: str, places: Sequence[str], *, positive: bool = False
               ) -> Floats:
    """Return ``values`` where every one is finite, as rules need that cannot leave a place out.

    Parameters
    ----------
    values : array of shape (places,)
    places
        The linear, block or point that each belongs to, for the message.
    positive
        Refuse what is not above zero as well.

    Raises
    ------
    BudgetError
        Names the evidence and the first place whose number will not do.
    """
    wrong = np.flatnonzero(~(np.isfinite(values) & ((values > 0) | (not positive))))
    if len(wrong):
        first = int(wrong[0])
        raise BudgetError(f"read the evidence {evidence!r}",
                          found=f"{float(values[first])} for {places[first]}",
                          expected="a finite number" + " above zero" * positive,
                          mend="Measure the profile again.")
    return values
