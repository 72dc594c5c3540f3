"""Decide how much of each part may go: profiles in, budgets out. Never imports torch."""

from neurosparse.budgets.allocator import exact_counts, exact_mean, integers, separable
from neurosparse.budgets.arithmetic import (
    arithmetic,
    progression,
    progression_rates,
    step_bounds,
)
from neurosparse.budgets.budget import (
    Budget,
    BudgetTarget,
    ModelIdentity,
    Rule,
    Total,
    read_budgets,
    write_budgets,
)
from neurosparse.budgets.explain import Explanation, explain
from neurosparse.budgets.identity import check_budget, check_profile
from neurosparse.budgets.joined import (
    CrossTerm,
    JoinedChoice,
    JoinedCurves,
    JoinedPoint,
    JoinedSurface,
    cross_term,
    joined,
    joined_budgets,
    surface,
)
from neurosparse.budgets.predicted import (
    PredictedStep,
    least_damage_step,
    predicted_step,
    step_from_damage,
)
from neurosparse.budgets.profile import Curves, Profile
from neurosparse.budgets.propagation import path_below
from neurosparse.budgets.rules import (
    RULES,
    allocate,
    check_options,
    check_sparsity,
    evidence_for,
)
from neurosparse.budgets.search import Found, greatest_sparsity, least_sparsity, sparsity_for_bits
from neurosparse.budgets.structures import SiteDamage, structure_budget

__all__ = [
    "RULES",
    "Budget",
    "BudgetTarget",
    "CrossTerm",
    "Curves",
    "Explanation",
    "Found",
    "JoinedChoice",
    "JoinedCurves",
    "JoinedPoint",
    "JoinedSurface",
    "ModelIdentity",
    "PredictedStep",
    "Profile",
    "Rule",
    "SiteDamage",
    "Total",
    "allocate",
    "arithmetic",
    "check_budget",
    "check_options",
    "check_profile",
    "check_sparsity",
    "cross_term",
    "evidence_for",
    "exact_counts",
    "exact_mean",
    "explain",
    "greatest_sparsity",
    "integers",
    "joined",
    "joined_budgets",
    "least_damage_step",
    "least_sparsity",
    "path_below",
    "predicted_step",
    "progression",
    "progression_rates",
    "read_budgets",
    "separable",
    "sparsity_for_bits",
    "step_bounds",
    "step_from_damage",
    "structure_budget",
    "surface",
    "write_budgets",
]
