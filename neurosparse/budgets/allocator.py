"""The one allocator: a total, box bounds, a cost for each target; exact sums.

Rates, LoRA ranks, heads, bits and frame tokens are all shares of one total. Two forms:

``separable``  continuous rates, convex costs known at some levels
``integers``   whole numbers, convex costs known at every count

and two helpers that make a sum exact without choosing: ``exact_mean``, ``exact_counts``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GRID = 4097


def _fixed_mean_feasible(weights: Floats, total: float, lower: Floats, upper: Floats) -> None:
    low, high = (float(np.average(bound, weights=weights)) for bound in (lower, upper))
    if not low - 1e-12 <= total <= high + 1e-12 or np.any(lower > upper):
        raise BudgetError("allocate", found=f"mean {total!r}",
                          expected=f"a mean in [{low:.6g}, {high:.6g}], all that the bounds allow")


def exact_mean(
    rates: ArrayLike, weights: ArrayLike, total: float, *, lower: ArrayLike = 0.0,
    upper: ArrayLike = 1.0,
) -> Floats:
    """Shift rates by one constant, inside their bounds, so that their weighted mean is ``total``.

    Parameters
    ----------
    rates, weights : array of shape (targets,)
    total
        The weighted mean asked, kept to 1e-12.
    lower, upper : scalar or array of shape (targets,)

    Raises
    ------
    BudgetError
        No rates inside the bounds have that mean, a rate that is not finite, or weights that do not
        fit.
    """
    values, mass = np.asarray(rates, float), np.asarray(weights, float)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise BudgetError("allocate", found=f"a rate of {values.flat[wrong[0]]} for target "
                          f"{int(wrong[0])}", expected="finite rates",
                          mend="The numbers that they come from are too large, or damaged.")
    if mass.shape != values.shape or not np.all(np.isfinite(mass) & (mass >= 0)) or not mass.any():
        raise BudgetError("allocate", found=f"weights {mass.tolist()!r:.60}",
                          expected=f"{values.size} of at least zero, one above it")
    low = np.broadcast_to(np.asarray(lower, float), values.shape)
    high = np.broadcast_to(np.asarray(upper, float), values.shape)
    _fixed_mean_feasible(mass, total, low, high)

    def clipped(shift: float) -> Floats:
        return np.asarray(np.clip(values + shift, low, high), float)

    left, right = _bisect(clipped, mass, total, float(np.min(low - values)),
                          float(np.max(high - values)))
    return _settle(clipped(0.5 * (left + right)), mass, total, low, high)


def _bisect(rates: Callable[[float], Floats], mass: Floats, total: float, left: float, right: float
            ) -> tuple[float, float]:
    """Narrow the interval in which the increasing mean of ``rates`` passes ``total``."""
    for _ in range(200):
        middle = 0.5 * (left + right)
        if np.average(rates(middle), weights=mass) < total:
            left = middle
        else:
            right = middle
    return left, right


def _settle(rates: Floats, mass: Floats, total: float, low: Floats, high: Floats) -> Floats:
    """Remove the last rounding error of the mean from the targets that are not at a bound."""
    settled = rates.copy()
    for _ in range(4):
        error = total * mass.sum() - float(mass @ settled)
        if error == 0.0:
            break
        free = (settled < high) if error > 0 else (settled > low)
        if not free.any():
            break
        settled[free] += error / mass[free].sum()
        settled = np.clip(settled, low, high)
    return settled


def separable(
    levels: ArrayLike, costs: ArrayLike, weights: ArrayLike, total: float, *,
    lower: ArrayLike = 0.0, upper: ArrayLike = 1.0,
) -> Floats:
    """Minimise ``sum_l cost_l(s_l)`` at fixed weighted mean of ``s`` (theory.md section 2).

    The optimum has ``cost_l'(s_l) / weight_l`` equal for all targets that are not at a bound. The
    common value is found by bisection. A cost that is not convex is replaced by its lower convex
    hull, for which the result is exact.

    Parameters
    ----------
    levels : array of shape (levels,)
        Increasing rates at which the costs are known.
    costs : array of shape (targets, levels)
        Positive costs; interpolated monotonically (PCHIP) in their logarithm and continued
        log-linearly beyond the first and last level.
    weights : array of shape (targets,)
        Parameters of each target.
    total
        Weighted mean of the rates, kept to 1e-12.

    Raises
    ------
    BudgetError
        Costs are not positive and finite, or no rates inside the bounds have that mean.
    """
    known, table = np.asarray(levels, float), np.asarray(costs, float)
    mass = np.asarray(weights, float)
    if not (np.all(np.isfinite(table)) and np.all(table > 0)):
        raise BudgetError("allocate", found="a cost that is not positive", expected="costs > 0")
    low = np.broadcast_to(np.asarray(lower, float), mass.shape)
    high = np.broadcast_to(np.asarray(upper, float), mass.shape)
    _fixed_mean_feasible(mass, total, low, high)
    marginals = [
        _marginal(known, row, a, b, m) for row, a, b, m in zip(table, low, high, mass, strict=True)
    ]

    def at(log_price: float) -> Floats:
        return np.array([
            np.interp(log_price, slopes, points) if len(points) > 1 else points[0]
            for slopes, points in marginals
        ])

    left = min(float(slopes[0]) for slopes, _ in marginals) - 1.0
    right = max(float(slopes[-1]) for slopes, _ in marginals) + 1.0
    left, right = _bisect(at, mass, total, left, right)
    below, above = at(left), at(right)
    # Where a cost is linear the rates jump at one price; the jump is shared in proportion.
    gap = float(mass @ (above - below))
    missing = total * mass.sum() - float(mass @ below)
    share = min(max(missing / gap, 0.0), 1.0) if gap > 0 else 0.0
    return _settle(below + share * (above - below), mass, total, low, high)


def _marginal(
    levels: Floats, cost: Floats, low: float, high: float, mass: float
) -> tuple[Floats, Floats]:
    """Logarithm of the marginal cost a parameter, increasing, and the rates it belongs to."""
    if high <= low:
        return np.zeros(1), np.array([low])
    rates = np.linspace(low, high, _GRID)
    logs = np.log(cost)
    if len(levels) == 1:
        raise BudgetError("allocate", found="one level", expected="costs at two levels or more")
    inside = PchipInterpolator(levels, logs, extrapolate=False)(rates)
    first = (logs[1] - logs[0]) / (levels[1] - levels[0])
    last = (logs[-1] - logs[-2]) / (levels[-1] - levels[-2])
    inside = np.where(rates < levels[0], logs[0] + first * (rates - levels[0]), inside)
    inside = np.where(rates > levels[-1], logs[-1] + last * (rates - levels[-1]), inside)
    curve = np.exp(inside)
    hull = lower_hull(rates, curve)
    x, y = rates[hull], curve[hull]
    slope = np.maximum(np.diff(y) / np.diff(x), np.finfo(float).tiny) / mass
    # A slope belongs to the middle of its piece; the ends of the box take the end slopes.
    middles = 0.5 * (x[1:] + x[:-1])
    points = np.concatenate([[x[0]], middles, [x[-1]]])
    logs_of = np.log(np.concatenate([[slope[0]], slope, [slope[-1]]]))
    return np.maximum.accumulate(logs_of), points


def lower_hull(x: Floats, y: Floats) -> list[int]:
    """Indices of the lower convex hull of points with increasing x (Andrew's chain)."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return hull


def integers(costs: list[Floats], total: int) -> Ints:
    """Minimise ``sum_l cost_l[k_l]`` over whole numbers with ``sum_l k_l = total``.

    Marginal greedy, which is optimal for convex costs (Fox 1966): the next unit goes where it
    costs least, the first target winning a tie.

    Parameters
    ----------
    costs
        For each target the cost of 0, 1, 2 ... units; the length sets its upper bound.
    total
        Units to give.

    Raises
    ------
    BudgetError
        A cost is not convex, or the total does not fit.
    """
    room = sum(len(cost) - 1 for cost in costs)
    if not 0 <= total <= room:
        raise BudgetError("allocate integers", found=f"total {total}",
                          expected=f"a total in [0, {room}]")
    steps = [np.diff(np.asarray(cost, float)) for cost in costs]
    for index, step in enumerate(steps):
        if np.any(np.diff(step) < -1e-12 * np.max(np.abs(step), initial=0.0)):
            raise BudgetError("allocate integers", found=f"a cost of target {index} not convex",
                              expected="increments that do not decrease",
                              mend="Take the lower convex hull first.")
    counts = np.zeros(len(costs), np.int64)
    heap = [(float(step[0]), i) for i, step in enumerate(steps) if len(step)]
    heapq.heapify(heap)
    for _ in range(total):
        _, i = heapq.heappop(heap)
        counts[i] += 1
        if counts[i] < len(steps[i]):
            heapq.heappush(heap, (float(steps[i][counts[i]]), i))
    return counts


def exact_counts(shares: ArrayLike, sizes: ArrayLike, total: int) -> Ints:
    """Whole numbers nearest to ``shares * sizes`` that sum to ``total`` (largest remainder).

    Raises
    ------
    BudgetError
        The total is further from the shares than rounding explains.
    """
    cap = np.asarray(sizes, np.int64)
    wanted = np.clip(np.asarray(shares, float) * cap, 0, cap)
    counts = np.floor(wanted).astype(np.int64)
    missing = int(total - counts.sum())
    if not -len(cap) <= missing <= 2 * len(cap):
        raise BudgetError("count", found=f"total {total}",
                          expected=f"about {wanted.sum():.1f}, the sum of the shares")
    remainder = wanted - counts
    sign = 1 if missing > 0 else -1
    order = np.lexsort((np.arange(len(cap)), -sign * remainder))
    while missing:
        before = missing
        for i in order:
            if missing and 0 <= counts[i] + sign <= cap[i]:
                counts[i] += sign
                missing -= sign
        if missing == before:
            raise BudgetError("count", found=f"total {total}", expected="a total that fits")
    return counts
