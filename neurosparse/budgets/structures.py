"""Rule ``propagation`` for structures: units of sites by measured damage, least in sum.

The damage of a cut is taken as ``sum_l g_l e_l(d_l)`` (theory.md section 2): ``e_l`` the error that
site ``l`` makes with ``d_l`` units gone and the rest solved again, known exactly at every width;
``g_l`` its gain, nats a token for each unit of error, measured along the real error in the network
that is damaged everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.allocator import lower_hull
from neurosparse.budgets.budget import Budget, BudgetTarget, ModelIdentity, Rule, Total
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
_FLOOR = 0.05


@dataclass(frozen=True)
class SiteDamage:
    """What one site can give, and what that costs.

    Attributes
    ----------
    name
        Module path.
    whole
        Parameters of its linear maps, of which a rate is a share.
    unit
        Parameters of one unit.
    choices
        Numbers of units that may go, increasing, from 0.
    errors : array of shape (choices,)
        Error at each of them.
    gain
        Nats a token for each unit of error.

    Raises
    ------
    BudgetError
        Not one finite error a choice, or a site or unit without parameters.
    """

    name: str
    whole: int
    unit: int
    choices: Sequence[int]
    errors: Floats
    gain: float

    def __post_init__(self) -> None:
        errors, operation = np.asarray(self.errors, float), "allocate structures"
        if errors.shape != (len(self.choices),) or not np.all(np.isfinite(errors)):
            raise BudgetError(operation, found=f"errors {errors.tolist()!r:.60} of {self.name}",
                              expected=f"{len(self.choices)} finite ones, one a choice")
        if self.whole < 1 or self.unit < 1:
            raise BudgetError(operation, found=f"{self.name} of {self.whole} parameters in units "
                              f"of {self.unit}", expected="at least one of each")


def structure_budget(sites: Sequence[SiteDamage], rate: float, *,
                     model: ModelIdentity | None = None) -> Budget:
    """Units of least damage in sum whose parameters are a share of all, as rates of the sites.

    Marginal greedy over the lower convex hulls of ``gain * errors``: the optimum among the corners
    of the hulls, and within one unit of it where the total falls between two corners. A gain that
    is not positive (a first-order term of a damaged network may be) is the 5 % quantile of those
    that are.

    Parameters
    ----------
    rate
        Share of the sites' parameters that goes.

    Returns
    -------
    Budget
        Of kind ``"sparsity"``, one target a site.

    Raises
    ------
    BudgetError
        No site has a positive gain, a rate outside [0, 1], or so much cannot go.
    """
    if not 0 <= rate <= 1:
        raise BudgetError("allocate structures with rule 'propagation'", found=f"rate {rate!r}",
                          expected="a rate in [0, 1]")
    gains = np.array([site.gain for site in sites], float)
    positive = gains[np.isfinite(gains) & (gains > 0)]
    if not len(positive):
        raise BudgetError("allocate structures with rule 'propagation'",
                          found="no site whose cut harms",
                          expected="a model whose output depends on its blocks")
    gains = np.maximum(np.nan_to_num(gains), float(np.quantile(positive, _FLOOR)))
    size = sum(site.whole for site in sites)
    dropped = cheapest_units(sites, gains, round(rate * size))
    targets = [BudgetTarget(name=site.name, size=site.whole, value=count * site.unit / site.whole)
               for site, count in zip(sites, dropped, strict=True)]
    kept = float(np.average([t.value for t in targets], weights=[t.size for t in targets]))
    return Budget(model=model, rule=Rule(name="propagation", options={"per": "site"}, notes={
        "gains": {site.name: float(f"{gain:.6g}") for site, gain in
                  zip(sites, gains, strict=True)}}),
        total=Total(asked=rate, kept=kept), targets=targets)


def cheapest_units(sites: Sequence[SiteDamage], gains: Floats, total: int) -> list[int]:
    """Units of every site, cheapest first, until no site's next choice fits below ``total``.

    What is left over is less than the next choice of any site takes. Where units differ in size,
    dearer ones may come nearer: of units of 5 and 7 with a total of 14 one of each goes.

    Raises
    ------
    BudgetError
        So much cannot go.
    """
    room = sum(site.choices[-1] * site.unit for site in sites)
    if not 0 <= total <= room:
        raise BudgetError("allocate structures", found=f"{total} parameters to go",
                          expected=f"at most {room}, all that units give")
    steps = sorted(step for number, site in enumerate(sites)
                   for step in _steps(number, site, float(gains[number])))
    at = [0] * len(sites)  # place in choices
    left = total
    for _, number, first, last in steps:
        site = sites[number]
        if at[number] != first:  # an earlier piece of this hull did not fit: nor may later ones
            continue
        place = last
        while place > first and (site.choices[place] - site.choices[first]) * site.unit > left:
            place -= 1
        left -= (site.choices[place] - site.choices[first]) * site.unit
        at[number] = place
    return [site.choices[place] for site, place in zip(sites, at, strict=True)]


def _steps(number: int, site: SiteDamage, gain: float) -> list[tuple[float, int, int, int]]:
    """Pieces of one site's hull: price a parameter, site, place in choices before and after."""
    spent = np.asarray(site.choices, float) * site.unit
    cost = gain * np.asarray(site.errors, float)
    hull = lower_hull(spent, cost)
    return [((cost[b] - cost[a]) / (spent[b] - spent[a]), number, a, b)
            for a, b in pairwise(hull)]
