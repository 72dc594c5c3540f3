"""The rule ``owl``: blocks with more outlying scores give less (Yin et al., arXiv 2310.05175)."""

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


def outlier_ratio(profile: Profile, outlier_multiple: float = 5.0, per: str = "block") -> Floats:
    """Share of the Wanda scores of a block (or linear) above a multiple of their mean.

    Equation 1 of the paper: ``D = |{A_ij > M mean(A)}| / |A|`` with ``A_ij = |W_ij| |X_j|_2`` over
    all linears of the block put together.

    Returns
    -------
    ratio : array of shape (units,)

    Raises
    ------
    BudgetError
        This multiple was not measured.
    """
    multiples = array_of(profile, "owl", "multiples")
    at = np.flatnonzero(np.isclose(multiples, outlier_multiple))
    if not len(at):
        raise BudgetError("allocate with rule 'owl'",
                          found=f"outlier_multiple={outlier_multiple!r}",
                          expected=f"one of {multiples.tolist()}, which were measured",
                          mend="Measure it: evidence=[measure.OwlCollector(multiples=(...))].")
    return units(profile, per).mean(array_of(profile, "owl", per)[:, at[0]])


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    per = options.get("per", "block")
    ratio = outlier_ratio(profile, options.get("outlier_multiple", 5.0), per)
    return {"outliers": units(profile, per).spread(ratio)}


@rule_form(evidence=("owl",), columns=_columns)
def owl_rates(profile: Profile, sparsity: float, *, outlier_multiple: float = 5.0,
              width: float = 0.08, per: str = "block") -> Floats:
    """Rule ``owl``: rates fall linearly with the outlier ratio, in a band (section 4).

    ``s_l = S + mean(d) - d_l`` with d the ratio stretched to [0, 2 width]; the mean is weighted by
    size, which is the paper's where blocks are equal.

    Parameters
    ----------
    profile
        With evidence ``owl``.
    outlier_multiple
        M of the paper; of those measured (3, 5, 7, 10 unless asked otherwise). ``multiple`` is the
        option of ``allocate`` that rounds rates.
    width
        lambda of the paper: half the width of the band of rates.
    per
        ``"block"`` as published, or ``"linear"``, which the paper of LSA reports to be far worse.

    Returns
    -------
    rates : array of shape (targets,)
    """
    group = units(profile, per)
    ratio = outlier_ratio(profile, outlier_multiple, per)
    return group.spread(band(ratio, group.sizes, sparsity, width))
