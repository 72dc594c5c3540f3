"""The rule ``propagation``: equal marginal damage, followed up a path of milder budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.budgets.allocator import exact_mean
from neurosparse.budgets.form import all_finite, array_of, rule_form
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.units import units
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]

_FIRST, _LAST, _MOST_POINTS = 0.3, 0.93, 7
POWER, COMPENSATED_POWER, _STEEPEST = 6.0, 12.0, 5.0
_HALF_WINDOW = 0.1
_FLOOR = 0.05
_DOWN, _UP, _MOST = 0.4, 0.3, 0.95


def path_below(sparsity: float) -> tuple[float, ...]:
    """Mean rates at which the damaged model is linearised for a budget of mean ``sparsity``.

    All lie below ``sparsity``: no model is ever damaged as much as the one that is asked for. From
    0.3 (0.6 of ``sparsity`` where that is less) in equal steps of about 0.09 to 0.93 of
    ``sparsity``, one point up to about 0.35: on the protocol's models the last point's distance
    and the windows a point decide most. A milder budget is read off at the last point below it, so
    one profile serves all.

    Raises
    ------
    BudgetError
        ``sparsity`` is not from 0 to 1.
    """
    if not 0 <= sparsity <= 1:
        raise BudgetError("lay a path", found=f"sparsity {sparsity!r}",
                          expected="a rate from 0 to 1")
    count = min(max(round(10 * (sparsity - 0.2)), 1), _MOST_POINTS)
    last = _LAST * sparsity
    if count == 1:
        return (last,)
    return tuple(np.linspace(min(_FIRST, 0.6 * sparsity), last, count).tolist())


def marginal_damage(density: ArrayLike, rates: ArrayLike, sizes: ArrayLike) -> Floats:
    """Damage that one more parameter would do, nats a token, from the density near the rate.

    Mean of the density over ranks within 0.1 of the target's rate, a parameter. First-order terms
    of a damaged network may be negative for a few linears; those, and linears without gradient,
    get the 5 % quantile of the positive ones.

    Parameters
    ----------
    density : array of shape (targets, bins)
        ``-sum g W`` over the weights whose rank within their row lies in the bin, times the number
        of bins: nats a unit of rate.
    rates, sizes : arrays of shape (targets,)

    Raises
    ------
    BudgetError
        No linear at all has a positive marginal damage.
    """
    table, at = np.asarray(density, float), np.asarray(rates, float)
    centres = (np.arange(table.shape[1]) + 0.5) / table.shape[1]
    near = np.abs(centres - at[:, None]) <= max(_HALF_WINDOW, 0.5 / table.shape[1])
    total = (table * near).sum(1) / near.sum(1)
    found = total / np.asarray(sizes, float)
    positive = found[found > 0]
    if not len(positive):
        raise BudgetError("allocate with rule 'propagation'", found="no linear whose pruning harms",
                          expected="a model whose output depends on its weights")
    floor = float(np.quantile(positive, _FLOOR))
    return np.asarray(np.maximum(np.where(np.isfinite(found), found, 0.0), floor), float)


def stiffness_at(sparsity: float, *, compensated: bool = False) -> float:
    """k at a mean rate: growth of the log marginal damage with the rate, ``6 / (1 - S)``.

    As if marginal damage grew like the sixth power of one over the density that stays; like the
    twelfth where the weights that stay are solved again, which takes most from where much is
    damaged, so that rates differ less. The powers are those of least selection perplexity on the
    protocol's models, flat from 5 to 8 and from 9 to 12 (docs/rules.md).
    """
    power = COMPENSATED_POWER if compensated else POWER
    return power * min(1 / max(1 - sparsity, 1e-9), _STEEPEST)


def refit_spread(sparsity: float) -> float:
    """Share of their distance from the mean that rates keep under a re-fit.

    1 up to 60 %, falling evenly to 0.5 at 70 % and above. A re-fit cancels errors where they arise,
    so that less of a linear's damage is left than the marginal damages of masks say, and the more
    so the more goes. Chosen at 60 and 70 % by selection perplexity, even between (docs/rules.md).
    """
    return float(np.clip(1 - 5 * (sparsity - 0.6), 0.5, 1.0))


def next_rates(rates: ArrayLike, marginal: ArrayLike, sizes: ArrayLike, sparsity: float,
               stiffness: float | None = None) -> Floats:
    """Rates of another mean at which marginal damage is equal, to first order.

    Marginal damage grows as ``exp(k s)``, so ``s - ln(m) / k`` plus one constant makes it equal
    (theory.md section 2). Kept within 0.4 below and 0.3 above the mean, and to 0.95 at most: the
    linearisation knows nothing farther away.

    Parameters
    ----------
    rates, marginal, sizes : arrays of shape (targets,)
    sparsity
        Weighted mean of the result.
    stiffness
        k; ``stiffness_at(sparsity)`` by default.
    """
    k = stiffness_at(sparsity) if stiffness is None else stiffness
    low, high = max(0.0, sparsity - _DOWN), max(sparsity, min(_MOST, sparsity + _UP))
    wanted = np.asarray(rates, float) - np.log(np.asarray(marginal, float)) / k
    return exact_mean(wanted, sizes, sparsity, lower=low, upper=high)


def point_below(points: Floats, sparsity: float, evidence: str = "propagation") -> int:
    """Index of the last point of a path below ``sparsity``.

    A milder budget than the path's first point is read off at that point.

    Raises
    ------
    BudgetError
        A point that is not finite: it lies neither below nor above.
    """
    all_finite(points, evidence, [f"point {i} of its path" for i in range(len(points))])
    below = np.flatnonzero(points < sparsity - 1e-9)
    return int(below[-1]) if len(below) else 0


def _point(profile: Profile, sparsity: float) -> int:
    return point_below(array_of(profile, "propagation", "points"), sparsity)


def marginal_of(profile: Profile, sparsity: float, per: str = "linear") -> tuple[Floats, Floats]:
    """Rates and marginal damage at the last point below ``sparsity``, arrays of shape (targets,).

    Parameters
    ----------
    per
        ``"linear"``, or ``"block"``: all linears of a block share its mean.
    """
    at = _point(profile, sparsity)
    rates = all_finite(array_of(profile, "propagation", "rates")[at], "propagation", profile.names)
    density = array_of(profile, "propagation", "density")[at]
    marginal = marginal_damage(density, rates, profile.sizes)
    group = units(profile, per)
    return group.spread(group.mean(rates)), group.spread(group.mean(marginal))


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    rates, marginal = marginal_of(profile, sparsity, options.get("per", "linear"))
    return {"rate before": rates, "ln marginal damage": np.log(marginal)}


def _notes(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Any]:
    at = _point(profile, sparsity)
    return {"linearised_at": float(array_of(profile, "propagation", "points")[at]),
            "damage_there": float(array_of(profile, "propagation", "damage_at")[at])}


@rule_form(evidence=("propagation",), columns=_columns, notes=_notes)
def propagation_rates(profile: Profile, sparsity: float, *, stiffness: float | None = None,
                      per: str = "linear", compensated: bool = False, refit: bool = False,
                      spread: float | None = None) -> Floats:
    """Rule ``propagation``: rates of equal marginal damage at the output, with no trial.

    The damage of a budget is the KL divergence of the sparse model's predictions from the dense
    model's. At every point of a path of milder budgets one backward pass gives every linear's
    marginal damage *in the already damaged network*, with all its cross terms to first order; the
    rates follow (docs/rules.md). Nothing is evaluated at the budget that is asked for.

    Parameters
    ----------
    profile
        With evidence ``propagation``, measured at least up to the point below ``sparsity``.
    stiffness
        k: growth of the log marginal damage with the rate; ``stiffness_at(sparsity)`` by default.
    per
        ``"linear"`` or ``"block"``.
    compensated
        For a method that solves the weights that stay (``sparsegpt``, ``alps``, any re-fit).
    refit
        For a re-fit, above 60 %: it sets ``spread``.
    spread
        Share of their distance from the mean that rates keep, 0 (the same everywhere) to 1; 1 by
        default, under a re-fit ``refit_spread(sparsity)``.

    Returns
    -------
    rates : array of shape (targets,)

    Raises
    ------
    BudgetError
        ``stiffness`` is not positive, or ``spread`` not from 0 to 1.
    """
    if stiffness is not None and not stiffness > 0:
        raise BudgetError("allocate with rule 'propagation'", found=f"stiffness={stiffness!r}",
                          expected="a positive number")
    if spread is None:
        spread = refit_spread(sparsity) if refit else 1.0
    if not 0 <= spread <= 1:
        raise BudgetError("allocate with rule 'propagation'", found=f"spread={spread!r}",
                          expected="a number from 0 to 1")
    rates, marginal = marginal_of(profile, sparsity, per)
    k = stiffness_at(sparsity, compensated=compensated) if stiffness is None else stiffness
    found = next_rates(rates, marginal, profile.sizes, sparsity, k)
    return sparsity + spread * (found - sparsity)
