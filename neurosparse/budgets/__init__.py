"""Decide how much of each part may go: profiles in, budgets out. Never imports torch."""

from neurosparse.budgets.allocator import exact_counts, exact_mean, integers, separable
from neurosparse.budgets.arithmetic import arithmetic, progression, step_bounds
from neurosparse.budgets.budget import (
    Budget,
    BudgetTarget,
    ModelIdentity,
    Rule,
    Total,
    read_budgets,
)
from neurosparse.budgets.profile import Curves, Profile
from neurosparse.budgets.rules import RULES, allocate, check_options, check_sparsity

__all__ = [
    "RULES",
    "Budget",
    "BudgetTarget",
    "Curves",
    "ModelIdentity",
    "Profile",
    "Rule",
    "Total",
    "allocate",
    "arithmetic",
    "check_options",
    "check_sparsity",
    "exact_counts",
    "exact_mean",
    "integers",
    "progression",
    "read_budgets",
    "separable",
    "step_bounds",
]
