"""The rule ``alpha``: heavy-tailed blocks give less (AlphaPruning, Lu et al., arXiv 2410.10912)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.bands import check_width, scaled, unit_interval
from neurosparse.budgets.form import array_of, rule_form
from neurosparse.budgets.heavy_tail import TAILS
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.units import units
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]


def exponents(profile: Profile, tail: str = "peak", per: str = "block") -> Floats:
    """Tail exponent of each unit: the plain mean over its linears, array of shape (units,).

    Raises
    ------
    BudgetError
        Another word for ``tail``.
    """
    if tail not in TAILS:
        raise BudgetError("allocate with rule 'alpha'", found=f"tail={tail!r}",
                          expected=" or ".join(map(repr, TAILS)))
    return units(profile, per).mean(array_of(profile, "spectra", tail), weighted=False)


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    per = options.get("per", "block")
    found = exponents(profile, options.get("tail", "peak"), per)
    return {"tail exponent": units(profile, per).spread(found)}


@rule_form(evidence=("spectra",), columns=_columns)
def alpha_rates(profile: Profile, sparsity: float, *, width: float = 0.3, tail: str = "peak",
                per: str = "block") -> Floats:
    """Rule ``alpha``: rates rise linearly with the exponent of the spectrum's tail.

    Factors from 1 - width (smallest exponent, heaviest tail) to 1 + width, times the one number
    that makes the weighted mean right (section 3; "block-wise" mapping).

    Parameters
    ----------
    profile
        With evidence ``spectra``.
    width
        epsilon of the published code, relative to the mean rate (0.3); less than 1.
    tail
        Where the tail begins: ``"peak"`` (published) or ``"median"``.
    per
        ``"block"``: all linears of a block share their mean exponent; or ``"linear"``.

    Returns
    -------
    rates : array of shape (targets,)
    """
    half = check_width("width", width, most=0.999)
    group = units(profile, per)
    place = unit_interval(exponents(profile, tail, per))
    return group.spread(scaled(1.0 - half + 2 * half * place, group.sizes, sparsity))
