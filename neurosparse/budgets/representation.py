"""The rule ``representation``: blocks like the others give more (LoSA, arXiv 2502.14816)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.bands import box_by_order
from neurosparse.budgets.form import all_finite, array_of, rule_form
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.units import units
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
FEATURES = ("tokens", "pooled")


def default_width(sparsity: float) -> float:
    """The code's half-width: 0.01 to 50 %, 0.02 to 60 %, 0.03 to 70 %, and (ours) above."""
    return 0.01 if sparsity <= 0.5 else 0.02 if sparsity <= 0.6 else 0.03


def likeness(profile: Profile, features: str = "tokens") -> Floats:
    """Sum over the other blocks of the normalised HSIC of two blocks' inputs (RMI).

    ``t_i = sum_{j != i} RMI(i, j)``, papers.md section 3.

    Returns
    -------
    likeness : array of shape (blocks,)

    Raises
    ------
    BudgetError
        Other features, a profile whose blocks are not those of the evidence, or a likeness that is
        not finite: its place in the order would be chance.
    """
    if features not in FEATURES:
        raise BudgetError("allocate with rule 'representation'", found=f"features={features!r}",
                          expected=" or ".join(map(repr, FEATURES)))
    table = array_of(profile, "representation", features)
    blocks = np.unique(profile.block)
    # One row a block's input, and a last one for the output of the last block.
    if table.shape[0] < int(blocks[-1]) + 2:
        raise BudgetError("allocate with rule 'representation'",
                          found=f"evidence of {table.shape[0]} representations",
                          expected=f"at least {int(blocks[-1]) + 2}",
                          mend="Measure the profile again.")
    inputs = table[:-1, :-1]
    found = np.asarray((inputs.sum(1) - np.diag(inputs))[blocks], float)
    return all_finite(found, "representation", [f"block {block}" for block in blocks])


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    found = likeness(profile, options.get("features", "tokens"))
    return {"likeness to other blocks": units(profile).spread(found)}


@rule_form(evidence=("representation",), columns=_columns)
def representation_rates(profile: Profile, sparsity: float, *, width: float | None = None,
                         features: str = "tokens") -> Floats:
    """Rule ``representation``: LoSA's linear programme over blocks, solved exactly by sorting.

    Minimise ``sum n_l exp(-t_l) s_l`` at the mean S in the box S +- width: the blocks most like
    the others go to the upper end. Only the order of the t_l matters, so the published beta drops
    out. Objective and mean are weighted by size, which changes nothing where blocks are equal.

    Parameters
    ----------
    profile
        With evidence ``representation``.
    width
        delta; by default the published 0.01, 0.02, 0.03 up to 50, 60, 70 %, and 0.03 above.
    features
        ``"tokens"``: all tokens and channels of a window, as published; ``"pooled"``: the mean over
        the tokens of a window, which saturates less.

    Returns
    -------
    rates : array of shape (targets,)
    """
    group = units(profile)
    half = default_width(sparsity) if width is None else width
    return group.spread(box_by_order(-likeness(profile, features), group.sizes, sparsity, half))
