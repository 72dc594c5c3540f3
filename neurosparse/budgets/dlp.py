"""The rule ``dlp``: blocks with a large typical score give more (Chen et al., arXiv 2505.23807)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.bands import band
from neurosparse.budgets.form import array_of, rule_form
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.units import units
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
STATISTICS = ("median", "mean")


def typical_score(profile: Profile, statistic: str = "median", per: str = "block") -> Floats:
    """Median (or mean) of the Wanda scores of each block or linear, array of shape (units,).

    Raises
    ------
    BudgetError
        Another statistic.
    """
    if statistic not in STATISTICS:
        raise BudgetError("allocate with rule 'dlp'", found=f"statistic={statistic!r}",
                          expected=" or ".join(map(repr, STATISTICS)))
    return units(profile, per).mean(array_of(profile, "dlp", f"{per}_{statistic}"))


def relative_importance(score: Floats) -> Floats:
    """``1 - score / sum(score)``: a large typical score is read as redundancy."""
    total = np.nansum(score)
    return 1.0 - score / total if total > 0 else np.ones_like(score)


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    statistic, per = options.get("statistic", "median"), options.get("per", "block")
    return {f"{statistic} score": units(profile, per).spread(
        typical_score(profile, statistic, per))}


@rule_form(evidence=("dlp",), columns=_columns)
def dlp_rates(profile: Profile, sparsity: float, *, width: float = 0.15, statistic: str = "median",
              per: str = "block") -> Floats:
    """Rule ``dlp``: rates rise linearly with the typical Wanda score, in a band.

    Importance ``I_l = 1 - m_l / sum m``, stretched to [0, 2 width]; ``s_l = S + mean(d) - d_l``.

    Parameters
    ----------
    profile
        With evidence ``dlp``.
    width
        alpha of the paper (0.15 in its published rates at 70 %).
    statistic
        ``"median"``, as the paper says, or ``"mean"``, as its published code does.
    per
        ``"block"`` as published, or ``"linear"``.

    Returns
    -------
    rates : array of shape (targets,)
    """
    group = units(profile, per)
    importance = relative_importance(typical_score(profile, statistic, per))
    return group.spread(band(importance, group.sizes, sparsity, width))
