"""The arithmetic step that two measured slopes give: ``beta = kappa / k`` (theory.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from neurosparse.budgets.form import array_of, check_evidence
from neurosparse.budgets.profile import Profile
from neurosparse.budgets.propagation import (
    marginal_damage,
    marginal_of,
    point_below,
    stiffness_at,
)
from neurosparse.budgets.units import units
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PredictedStep:
    """A step and what it came from.

    Attributes
    ----------
    step
        ``kappa / slope``.
    kappa
        Fall of the log marginal damage a block (least squares over depth).
    slope
        Growth of the log damage with the rate, k, at the rate asked for.
    marginal : array of shape (blocks,)
        Logarithm of the marginal damage a parameter at the rate.
    source
        Where the damage came from: ``"progression"``, ``"propagation"``, ``"gains"`` or
        ``"curves"``.
    """

    step: float
    kappa: float
    slope: float
    marginal: Floats
    source: str


def log_slope(levels: ArrayLike, damage: ArrayLike, rate: float) -> tuple[Floats, Floats]:
    """Logarithm of a damage and its derivative at a rate, from its values at some levels.

    Monotone (PCHIP) in the logarithm, continued log-linearly beyond the first and last level.

    Parameters
    ----------
    levels : array of shape (levels,)
    damage : positive array of shape (targets, levels)

    Returns
    -------
    value, slope : arrays of shape (targets,)
    """
    known, logs = np.asarray(levels, float), np.log(np.asarray(damage, float))
    inside = float(np.clip(rate, known[0], known[-1]))
    if len(known) == 1:
        raise BudgetError("predict the step", found="one level", expected="two levels or more")
    curve = PchipInterpolator(known, logs, axis=1)
    slope = np.asarray(curve(inside, 1), float)
    # At the ends PCHIP takes its own one-sided slope; beyond them the end pieces are straight.
    if inside == known[-1]:
        slope = (logs[:, -1] - logs[:, -2]) / (known[-1] - known[-2])
    elif inside == known[0]:
        slope = (logs[:, 1] - logs[:, 0]) / (known[1] - known[0])
    return np.asarray(curve(inside), float) + slope * (rate - inside), slope


def step_from_damage(levels: ArrayLike, damage: ArrayLike, sizes: ArrayLike, rate: float,
                     source: str = "curves") -> PredictedStep:
    """The step at which neighbouring blocks have equal marginal damage, from damage by block.

    If block l does the damage ``d_l(s) = g_l a_l exp(k s)`` and ``ln(g_l a_l k / n_l)`` falls by
    kappa a block, the best rates of a given mean are an arithmetic progression with step
    ``kappa / k``, exactly. Real curves are taken so near the rate asked for: kappa is the least
    squares slope over depth, weighted by size, and k the mean over blocks of ``d ln d_l / ds``.

    Parameters
    ----------
    levels : array of shape (levels,)
    damage : positive array of shape (blocks, levels)
    sizes : array of shape (blocks,)
        Parameters.
    rate
        Mean rate at which the slopes are taken.

    Raises
    ------
    BudgetError
        Damage that is not positive, or that does not grow with the rate.
    """
    table, mass = np.asarray(damage, float), np.asarray(sizes, float)
    if not np.all(np.isfinite(table)) or not np.all(table > 0):
        raise BudgetError("predict the step", found="a damage that is not positive",
                          expected="positive damage of every block at every level")
    value, slope = log_slope(levels, table, rate)
    mean_slope = float(np.average(slope, weights=mass))
    if not mean_slope > 0 or not np.all(slope > 0):
        raise BudgetError("predict the step", found=f"damage with slope {float(slope.min()):.3g}",
                          expected="damage that grows with the rate in every block")
    marginal = value + np.log(slope) - np.log(mass)
    if len(marginal) == 1:
        return PredictedStep(0.0, 0.0, mean_slope, marginal, source)
    place = np.arange(len(marginal), dtype=float)
    place -= np.average(place, weights=mass)
    kappa = -float(np.sum(mass * place * marginal) / np.sum(mass * place**2))
    return PredictedStep(kappa / mean_slope, kappa, mean_slope, marginal, source)


def _from_curves(profile: Profile, sparsity: float) -> PredictedStep:
    """Gains to the output times local errors, or the local errors alone."""
    check_evidence(profile, ("curves",), "predict the step")
    assert profile.curves is not None
    gains = profile.evidence.get("gains", {})
    levels, damage, source = profile.curves.levels, profile.curves.error, "curves"
    if "gain" in gains:
        damage, source = damage * gains["gain"][profile.block, -1][:, None], "gains"
    use = levels > 0
    group = units(profile)
    known = np.where(np.isfinite(damage), damage, 0.0)
    blocks = np.stack([np.bincount(group.where, known[:, at], len(group.sizes))
                       for at in np.flatnonzero(use)], axis=1)
    return step_from_damage(levels[use], blocks, group.sizes, sparsity, source)


def least_damage_step(rates: ArrayLike, marginal: ArrayLike, sizes: ArrayLike, block: ArrayLike,
                      sparsity: float) -> float:
    """The progression of a given mean that does least damage, near measured rates.

    The damage of rates s is ``sum_l n_l m_l exp(k (s_l - r_l))`` up to a factor, with the rates r
    and the marginal damages m measured there. Where it is exactly exponential and falls by kappa
    a block, its least along progressions is at ``kappa / k``.

    Parameters
    ----------
    rates, marginal, sizes, block : arrays of shape (targets,)
        ``marginal`` a parameter; ``block`` the number of each target's block.
    sparsity
        Mean of the progression, which also sets k (``stiffness_at``).

    Returns
    -------
    step
        Within the legal interval.
    """
    parts, mass = np.asarray(block), np.asarray(sizes, float)
    number = int(parts.max()) + 1
    if number == 1:
        return 0.0
    place = parts - np.average(parts, weights=mass)
    k = stiffness_at(sparsity)
    logs = np.log(mass * np.asarray(marginal, float)) - k * np.asarray(rates, float)

    def damage(step: float) -> float:
        return float(logsumexp(logs + k * (sparsity + step * place)))

    before, after = -float(place.min()), float(place.max())
    least = -min((1 - sparsity) / before, sparsity / after)
    greatest = min(sparsity / before, (1 - sparsity) / after)
    return float(minimize_scalar(damage, bounds=(least, greatest), method="bounded",
                                 options={"xatol": 1e-7}).x)


def _around(profile: Profile, rates: Floats, marginal: Floats, sparsity: float, step: float,
            source: str) -> PredictedStep:
    """With the blocks' marginal damage read off at the mean rate."""
    k = stiffness_at(sparsity)
    group = units(profile)
    logs = np.log(np.asarray(profile.sizes, float) * marginal) - k * rates
    total = np.array([float(logsumexp(logs[group.where == at]))
                      for at in range(len(group.sizes))])
    return PredictedStep(step, step * k, k, total + k * sparsity - np.log(group.sizes), source)


def _from_propagation(profile: Profile, sparsity: float) -> PredictedStep:
    """One step from the last point of the path of ``propagation``."""
    rates, marginal = marginal_of(profile, sparsity)
    step = least_damage_step(rates, marginal, profile.sizes, units(profile).where, sparsity)
    return _around(profile, rates, marginal, sparsity, step, "propagation")


# A second answer that moved as far as the first would put the end at infinity.
_SLOWEST = 0.7


def _from_progression(profile: Profile, sparsity: float) -> PredictedStep:
    """Where the steps of a path of progressions settle.

    At the last point b leads to n(b), and n, measured next on the same windows, to n(n): with the
    slope r between them the fixed point is ``n(n) + (n(n) - n) r / (1 - r)`` (Aitken).
    """
    points = array_of(profile, "progression", "points")
    at = point_below(points, sparsity, "progression")
    where = units(profile).where
    place = where - np.average(where, weights=np.asarray(profile.sizes, float))

    def answer(index: int) -> tuple[Floats, Floats, float, float]:
        rates = array_of(profile, "progression", "rates")[index]
        density = array_of(profile, "progression", "density")[index]
        marginal = marginal_damage(density, rates, profile.sizes)
        found = least_damage_step(rates, marginal, profile.sizes, where, sparsity)
        # One block has no slope over depth, and a fit through one place has no solution.
        slope = float(np.polyfit(place, rates, 1)[0]) if np.ptp(place) else 0.0
        return rates, marginal, slope, found

    rates, marginal, before, step = answer(at)
    if at and abs(points[at - 1] - points[at]) < 1e-9:
        *_, first, second = answer(at - 1)
        moved = before - first
        slope = np.clip((step - second) / moved, 0.0, _SLOWEST) if moved else 0.0
        step += (step - before) * float(slope / (1 - slope))
    return _around(profile, rates, marginal, sparsity, step, "progression")


def predicted_step(profile: Profile, sparsity: float) -> PredictedStep:
    """The arithmetic step for a profile, without any trial.

    From the evidence ``progression``: where the steps along a path of progressions settle. Else
    from ``propagation``: the progression of least damage after one step. Else from curves: the
    local error times the gain to the output (evidence ``gains``), or the local error alone, which
    takes every gain as equal and so knows nothing of amplification.

    Parameters
    ----------
    profile
        With ``progression``, ``propagation`` or curves.
    sparsity
        Mean rate.

    Raises
    ------
    BudgetError
        The profile has none of them, or its damage does not grow with the rate.
    """
    if "progression" in profile.evidence:
        return _from_progression(profile, sparsity)
    if "propagation" in profile.evidence:
        return _from_propagation(profile, sparsity)
    return _from_curves(profile, sparsity)
