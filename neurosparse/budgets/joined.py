"""Tokens and sparsity together: how much to take from frames and how much from weights.

Damage and cost are measured on a ladder of both, ``damage[i, j]`` with ``tokens[i]`` tokens at
``sparsities[j]``, so that nothing is assumed of how the two add up. Between the points damage is
interpolated monotonically in the sparsity (PCHIP) and linearly in the logarithm of the tokens; a
mean of curves that increase with sparsity increases too, which a second PCHIP would not keep. Cost
is interpolated linearly: where it is convex in the tokens, as attention is, no point is foretold
too cheap. The choice is the best of all whole numbers of tokens and all steps of sparsity; no curve
need be convex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from neurosparse.budgets.budget import Budget, BudgetTarget, ModelIdentity, Rule, Total
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEP = 1 / 400
# Whole numbers of tokens that are looked at; above, so many of them, evenly in the logarithm.
_MOST = 16384


@dataclass(frozen=True)
class JoinedCurves:
    """What was measured, for a choice.

    Attributes
    ----------
    tokens : array of shape (n,)
        Token budgets, increasing.
    sparsities : array of shape (s,)
        Share of the decoder's weights that goes, increasing, in [0, 1).
    damage : array of shape (n, s)
        Mean damage of an answer, in nats.
    cost : array of shape (n, s)
        Mean cost of an answer.
    unit
        Of the cost: ``"flops"`` or ``"seconds"``.
    dense
        Cost of an answer of the dense model with all tokens.

    Raises
    ------
    BudgetError
        Shapes that do not fit, levels out of order, or numbers that are not finite.
    """

    tokens: Ints
    sparsities: Floats
    damage: Floats
    cost: Floats
    unit: str = "flops"
    dense: float = 1.0

    def __post_init__(self) -> None:
        operation = "join budgets"
        shape = (len(self.tokens), len(self.sparsities))
        if self.damage.shape != shape or self.cost.shape != shape or 0 in shape:
            raise BudgetError(operation, found=f"damage of shape {self.damage.shape} and cost of "
                              f"shape {self.cost.shape}", expected=f"{shape}, one level or more")
        ordered = np.all(np.diff(self.tokens) > 0) and np.all(np.diff(self.sparsities) > 0)
        if not (ordered and self.tokens[0] >= 1 and self.sparsities[0] >= 0
                and self.sparsities[-1] < 1):
            raise BudgetError(
                operation, found=f"levels {self.tokens.tolist()}, {self.sparsities.tolist()}",
                expected="whole numbers from 1 and rates in [0, 1), both increasing")
        for name, table in (("damage", self.damage), ("cost", self.cost)):
            if not np.all(np.isfinite(table)):
                at = tuple(np.argwhere(~np.isfinite(table))[0].tolist())
                raise BudgetError(
                    operation, found=f"a {name} that is not finite with {self.tokens[at[0]]} "
                    f"tokens at sparsity {self.sparsities[at[1]]:g}", expected="finite numbers",
                    mend="Measure again, or leave this level out.")


@dataclass(frozen=True)
class JoinedSurface:
    """Damage and cost at all whole numbers of tokens and all steps of sparsity.

    Attributes
    ----------
    tokens, sparsities
        Shapes (n,) and (s,).
    damage, cost
        Shape (n, s).
    """

    tokens: Ints
    sparsities: Floats
    damage: Floats
    cost: Floats


@dataclass(frozen=True)
class JoinedPoint:
    """A choice with the damage and the cost that the curves foretell."""

    tokens: int
    sparsity: float
    damage: float
    cost: float


@dataclass(frozen=True)
class JoinedChoice:
    """The best of both together, and of each alone under the same goal.

    Attributes
    ----------
    best
        Of all points.
    tokens_alone, sparsity_alone
        Of those without sparsity, and of those with all tokens; None where the goal is out of
        their reach.
    """

    best: JoinedPoint
    tokens_alone: JoinedPoint | None
    sparsity_alone: JoinedPoint | None


def surface(curves: JoinedCurves) -> JoinedSurface:
    """Interpolate curves to every whole number of tokens and steps of 1/400 of sparsity."""
    first, last = int(curves.tokens[0]), int(curves.tokens[-1])
    counts = np.arange(first, last + 1)
    if len(counts) > _MOST:
        counts = np.unique(np.concatenate([
            np.geomspace(first, last, _MOST).round().astype(np.int64), curves.tokens]))
    low, high = float(curves.sparsities[0]), float(curves.sparsities[-1])
    steps = np.arange(np.ceil(low / _STEP), np.floor(high / _STEP) + 1) * _STEP
    rates = np.unique(np.concatenate([curves.sparsities, np.clip(steps, low, high)]))
    logs = np.log(curves.tokens.astype(float))
    damage = _monotone(curves.sparsities, curves.damage.T, rates).T
    damage = _linear(logs, damage, np.log(counts))
    cost = _linear(curves.sparsities, curves.cost.T, rates).T
    return JoinedSurface(counts, rates, damage,
                         _linear(curves.tokens.astype(float), cost, counts.astype(float)))


def _monotone(levels: Floats, values: Floats, at: Floats) -> Floats:
    """Along the first axis, by PCHIP; one level holds everywhere."""
    if len(levels) == 1:
        return np.repeat(values, len(at), axis=0)
    return np.asarray(PchipInterpolator(levels, values, axis=0)(at), float)


def _linear(levels: Floats, values: Floats, at: Floats) -> Floats:
    return np.stack([np.interp(at, levels, column) for column in values.T], axis=1)


def joined(curves: JoinedCurves, *, cost: float | None = None, damage: float | None = None
           ) -> JoinedChoice:
    """Choose tokens and sparsity: the least damage within a cost, or least cost within a damage.

    Parameters
    ----------
    curves
        As measured.
    cost
        The most that an answer may cost, in the curves' unit.
    damage
        The most damage, in nats; in place of ``cost``.

    Returns
    -------
    JoinedChoice
        Exact over :func:`surface`. Of points that are equally good and cost the same, the one of
        least sparsity, and of these the one of most tokens.

    Raises
    ------
    BudgetError
        Both goals or none, or one that no point reaches: the message has the nearest.

    Examples
    --------
    >>> import numpy as np
    >>> tokens, rates = np.array([100, 200, 400]), np.array([0.0, 0.5])
    >>> damage = np.array([[0.4, 0.6], [0.1, 0.3], [0.0, 0.2]])
    >>> cost = np.array([[1.0, 0.5], [2.0, 1.0], [4.0, 2.0]])
    >>> joined(JoinedCurves(tokens, rates, damage, cost), cost=2.0).best.tokens
    200
    """
    if (cost is None) == (damage is None):
        raise BudgetError("join budgets", found=f"cost={cost}, damage={damage}",
                          expected="one of the two goals")
    found = surface(curves)
    best = _best(found, cost, damage)
    if best is None:
        raise _out_of_reach(found, curves, cost, damage)
    none, whole = found.sparsities == 0, found.tokens == found.tokens[-1]
    return JoinedChoice(best,
                        _best(_part(found, slice(None), none), cost, damage),
                        _best(_part(found, whole, slice(None)), cost, damage))


def _part(found: JoinedSurface, rows: Any, columns: Any) -> JoinedSurface:
    return JoinedSurface(found.tokens[rows], found.sparsities[columns],
                         found.damage[rows][:, columns], found.cost[rows][:, columns])


def _best(found: JoinedSurface, cost: float | None, damage: float | None) -> JoinedPoint | None:
    within = (found.cost <= cost if cost is not None else
              found.damage <= (np.inf if damage is None else damage))
    if not within.any():
        return None
    rows, columns = np.nonzero(within)
    first, second = found.damage[rows, columns], found.cost[rows, columns]
    if cost is None:
        first, second = second, first
    order = np.lexsort((-rows, columns, second, first))
    at = rows[order[0]], columns[order[0]]
    return JoinedPoint(int(found.tokens[at[0]]), float(found.sparsities[at[1]]),
                       float(found.damage[at]), float(found.cost[at]))


def _out_of_reach(found: JoinedSurface, curves: JoinedCurves, cost: float | None,
                  damage: float | None) -> BudgetError:
    table = found.cost if cost is not None else found.damage
    row, column = np.unravel_index(int(table.argmin()), table.shape)
    where = f"{found.tokens[row]} tokens at sparsity {found.sparsities[column]:g}"
    if cost is not None:
        least = float(table.min())
        return BudgetError(
            "join budgets", found=f"a cost of {cost:.4g} {curves.unit} an answer, "
            f"{cost / curves.dense:.3g} of the dense model's",
            expected=f"{least:.4g} ({least / curves.dense:.3g}) or more: {where}",
            mend="What is left then is the vision part, scoring and the question: take fewer "
                 "frames, a cheaper scorer (or none), or lower levels.")
    return BudgetError("join budgets", found=f"a damage of {damage:.4g} nats",
                       expected=f"{float(table.min()):.4g} or more: {where}")


@dataclass(frozen=True)
class CrossTerm:
    """How far the damages of the two do not simply add up.

    Attributes
    ----------
    mean : array of shape (n, s)
        ``D[i, j] - D[i, dense] - D[all, j] + D[all, dense]``, nats: positive where the two
        together hurt more than their sum.
    stderr : array of shape (n, s)
        Over videos.
    share, share_stderr
        Sum of the cross terms over the sum of what the two hurt alone, at all points where both
        are taken, with its error over videos (jackknife).
    """

    mean: Floats
    stderr: Floats
    share: float
    share_stderr: float


def cross_term(damage: ArrayLike) -> CrossTerm:
    """Check additivity on damages of shape (n, s, videos); the last n is all tokens, the first s 0.

    Raises
    ------
    BudgetError
        Another shape.
    """
    table = np.asarray(damage, float)
    if table.ndim != 3 or not table.size:
        raise BudgetError("check additivity", found=f"damages of shape {table.shape}",
                          expected="(tokens, sparsities, videos)")
    corner = table[-1:, :1]
    apart = (table[:, :1] - corner) + (table[-1:] - corner)
    cross = table - corner - apart
    count = table.shape[2]
    stderr = (cross.std(axis=2, ddof=1) / np.sqrt(count) if count > 1
              else np.full(cross.shape[:2], np.nan))
    above, below = (one[:-1, 1:].sum(axis=(0, 1)) for one in (cross, apart))
    share = _share(above.sum(), below.sum())
    without = np.array([_share(above.sum() - a, below.sum() - b)
                        for a, b in zip(above, below, strict=True)])
    error = np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2))
    return CrossTerm(cross.mean(axis=2), stderr, share, float(error) if count > 1 else np.nan)


def _share(above: float, below: float) -> float:
    return float(above / below) if below else 0.0


def joined_budgets(point: JoinedPoint, sparsity: Budget, *, most: int, options: dict[str, Any],
                   notes: dict[str, Any], model: ModelIdentity | None = None) -> list[Budget]:
    """The two budgets of a choice, for one file.

    Parameters
    ----------
    point
        The choice.
    sparsity
        Of kind ``"sparsity"``, at the point's sparsity.
    most
        Tokens that a video holds at most.
    options
        How the choice was made: the goal, and how videos are watched.
    notes
        The evidence.
    model
        Identity.
    """
    video = Budget(
        kind="tokens", model=model, rule=Rule(name="joined", options=options, notes=notes),
        total=Total(asked=point.tokens, kept=point.tokens, weight="tokens"),
        targets=[BudgetTarget(name="video", size=most, value=point.tokens)])
    rule = sparsity.rule.model_copy(update={"notes": {
        **sparsity.rule.notes, "joined": {**options, "tokens": point.tokens}}})
    return [sparsity.model_copy(update={"rule": rule, "model": model or sparsity.model}), video]
