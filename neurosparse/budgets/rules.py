"""The rules by name, and ``allocate``, which turns a profile into a budget by one of them.

A new rule is a new small file with a function ``rates(profile, sparsity, *, options)`` and one
line in ``RULES``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.absorption import absorption_rates
from neurosparse.budgets.allocator import exact_mean
from neurosparse.budgets.alpha import alpha_rates
from neurosparse.budgets.arithmetic import arithmetic_rates
from neurosparse.budgets.bounds import Bound, check_feasible, target_bounds
from neurosparse.budgets.budget import Budget, BudgetTarget, ModelIdentity, Rule, Total
from neurosparse.budgets.dlp import dlp_rates
from neurosparse.budgets.erdos_renyi import er_rates, erk_rates
from neurosparse.budgets.fisher import fisher_trace_rates
from neurosparse.budgets.form import check_evidence, form_of
from neurosparse.budgets.global_threshold import global_rates
from neurosparse.budgets.lsa import lsa_rates
from neurosparse.budgets.multiples import on_multiples
from neurosparse.budgets.numbers import is_number, number_of, plain
from neurosparse.budgets.owl import owl_rates
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.propagation import propagation_rates
from neurosparse.budgets.representation import representation_rates
from neurosparse.budgets.uniform import uniform_rates
from neurosparse.errors import BudgetError

RULES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "uniform": uniform_rates,
    "arithmetic": arithmetic_rates,
    "owl": owl_rates,
    "alpha": alpha_rates,
    "dlp": dlp_rates,
    "representation": representation_rates,
    "fisher-trace": fisher_trace_rates,
    "lsa": lsa_rates,
    "absorption": absorption_rates,
    "er": er_rates,
    "erk": erk_rates,
    "global": global_rates,
    "propagation": propagation_rates,
}

_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "float": ("a finite number", is_number),
    "str": ("text", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "None": ("None", lambda value: value is None),
}


def check_sparsity(sparsity: float, operation: str = "allocate") -> float:
    """Return ``sparsity`` if it is a rate in [0, 1).

    Raises
    ------
    BudgetError
        It is not.
    """
    found = number_of(operation, "sparsity", sparsity, "a rate in [0, 1)")
    if not 0 <= found < 1:
        raise BudgetError(operation, found=f"sparsity {found!r}", expected="a rate in [0, 1)")
    return found


def check_options(rule: str, options: dict[str, Any]) -> None:
    """Refuse an unknown rule, an option that it does not take or of another type, or one it lacks.

    Raises
    ------
    BudgetError
        With the names, or the type, that would have been right.
    """
    if rule not in RULES:
        raise BudgetError("allocate", found=f"rule {rule!r}",
                          expected="one of " + ", ".join(sorted(RULES)))
    own = {name: parameter for name, parameter in inspect.signature(RULES[rule]).parameters.items()
           if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
    takes = {name: parameter.default is inspect.Parameter.empty for name, parameter in own.items()}
    wrong = [name for name in options if name not in takes]
    missing = [name for name, needed in takes.items() if needed and name not in options]
    if wrong or missing:
        needed = sorted(name for name in takes if takes[name])
        raise BudgetError(f"allocate with rule {rule!r}", found=f"options {sorted(options)}",
                          expected=f"options {sorted(takes)}, of which {needed} are needed")
    for name, value in options.items():
        # As the rule's signature writes them; a type of a rule's own is the rule's to check.
        types = str(own[name].annotation).split(" | ")
        if set(types) <= set(_TYPES) and not any(_TYPES[kind][1](plain(value)) for kind in types):
            raise BudgetError(f"allocate with rule {rule!r}", found=f"{name}={plain(value)!r}",
                              expected=" or ".join(_TYPES[kind][0] for kind in types))


def evidence_for(rule: str, **options: Any) -> tuple[str, ...]:
    """What a profile must hold for a rule: names that ``measure.profile(evidence=...)`` takes.

    Raises
    ------
    BudgetError
        Unknown rule, or wrong options.
    """
    check_options(rule, options)
    return form_of(RULES[rule]).evidence(options)


def allocate(profile: Profile, sparsity: float, *, rule: str = "uniform", lower: Bound = 0.0,
             upper: Bound = 1.0, multiple: int | None = None, **options: Any) -> Budget:
    """Decide what every target of a profile gives.

    Parameters
    ----------
    profile
        Measured by ``measure.profile`` with ``evidence_for(rule)``; sizes are enough for
        ``uniform`` and ``arithmetic`` with a step, and for a sparsity of 0.
    sparsity
        Share of all parameters of the targets to take away, in [0, 1).
    rule
        A name in ``RULES``; its options follow by name (``step=0.008`` for ``arithmetic``).
    lower, upper
        Bounds on the rates: one number, or numbers by glob pattern on the targets' names.
    multiple
        Round the rates to multiples of 1 / ``multiple`` (8: N of N:8), the mean kept as nearly as
        the sizes allow. (OWL's own M is its option ``outlier_multiple``.)

    Returns
    -------
    Budget
        Its weighted mean is ``sparsity`` to 1e-12 (unless rounded to multiples).

    Raises
    ------
    BudgetError
        Unknown rule, wrong options, sparsity outside [0, 1), evidence that the profile lacks, or
        bounds that cannot be kept.
    """
    sparsity = check_sparsity(sparsity)
    check_options(rule, options)
    options = {name: plain(value) for name, value in options.items()}
    form = form_of(RULES[rule])
    evidence = form.evidence(options)
    nothing = not sparsity and bool(evidence)  # nothing goes: there is no need to measure where
    if not nothing:
        check_evidence(profile, evidence, f"allocate with rule {rule!r}")
    low, high = target_bounds(profile, lower, upper)
    check_feasible(profile, sparsity, low, high)
    wanted = np.zeros(len(profile.sizes)) if nothing else RULES[rule](profile, sparsity, **options)
    rates = exact_mean(wanted, profile.sizes, sparsity, lower=low, upper=high)
    if multiple is not None:
        rates = on_multiples(rates, profile.sizes, multiple, lower=low, upper=high)
    return Budget(
        kind="sparsity",
        model=ModelIdentity(**profile.model) if profile.model else None,
        rule=Rule(name=rule, options=options, profile_sha256=profile.sha256,
                  notes={} if nothing else form.notes(profile, sparsity, options)),
        total=Total(asked=sparsity, kept=float(np.average(rates, weights=profile.sizes)),
                    weight="parameters"),
        targets=[BudgetTarget(name=name, size=int(size), value=float(rate))
                 for name, size, rate in zip(profile.names, profile.sizes, rates, strict=True)],
    )
