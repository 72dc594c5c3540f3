"""Rates on multiples of 1/m whose weighted mean is as near as sizes allow: N of N:8, whole bits."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.budgets.numbers import plain
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Cells of the table of the exact choice; beyond it the largest remainders are taken in order.
_CELLS = 30_000_000


def on_multiples(rates: ArrayLike, sizes: ArrayLike, multiple: Any, *, lower: ArrayLike = 0.0,
                 upper: ArrayLike = 1.0) -> Floats:
    """Round every rate down or up to a multiple of ``1 / multiple`` so that the mean is kept.

    Of all such roundings with a weighted sum nearest to that of the rates, the one that moves the
    rates least (sum of size times squared move): a knapsack, solved exactly. Where all sizes are
    equal this is the method of the largest remainder; the sum is then exact if the mean asked for
    is a multiple at all. With large sizes that have no common divisor remainders are taken in
    order, as far as they fit; or with one more where that comes nearer.

    Parameters
    ----------
    rates : array of shape (targets,)
        In [0, 1].
    sizes : whole numbers of shape (targets,)
    multiple : whole number
        m of 1/m: 8 for N:8.
    lower, upper : scalar or array of shape (targets,)

    Returns
    -------
    rates : array of shape (targets,)

    Raises
    ------
    BudgetError
        ``multiple`` is not at least 1, or no multiple lies within a target's bounds.
    """
    multiple = plain(multiple)
    if not isinstance(multiple, int) or isinstance(multiple, bool) or multiple < 1:
        raise BudgetError("round to multiples", found=f"multiple={multiple!r}",
                          expected="a whole number of at least 1")
    wanted, mass = np.asarray(rates, float) * multiple, np.asarray(sizes, np.int64)
    # 1e-9: a bound of 0.3 of ten tenths must stay 3.
    least = np.ceil(np.broadcast_to(np.asarray(lower, float), wanted.shape) * multiple - 1e-9)
    most = np.floor(np.broadcast_to(np.asarray(upper, float), wanted.shape) * multiple + 1e-9)
    empty = np.flatnonzero(least > most)
    if len(empty):
        raise BudgetError("round to multiples", found=f"bounds of target {int(empty[0])} without "
                          f"a multiple of 1/{multiple}", expected="at least one between them")
    base = np.clip(np.floor(wanted + 1e-9), least, most)
    remainder = np.clip(wanted - base, 0.0, 1.0)
    free = np.flatnonzero(base < most)
    step = gcd(*mass.tolist())
    missing = float((mass * (wanted - base)).sum()) / step
    up = free[_choose((mass[free] // step), remainder[free], missing)]
    base[up] += 1
    return np.asarray(base / multiple, float)


def _choose(sizes: Ints, remainder: Floats, total: float) -> NDArray[np.bool_]:
    """Which to round up: sizes that sum to ``total`` as nearly as can be, most remainder first.

    ``total`` is no whole number: rounded first, the sum on its other side could seem as near.
    """
    if total <= 0 or not len(sizes):
        return np.zeros(len(sizes), bool)
    if total >= int(sizes.sum()):
        return np.ones(len(sizes), bool)
    room = min(int(total) + int(sizes.max()), int(sizes.sum()))
    if len(sizes) * (room + 1) > _CELLS:
        return _in_order(sizes, remainder, total)
    best = np.full(room + 1, -np.inf)
    best[0] = 0.0
    taken = np.zeros((len(sizes), room + 1), bool)
    for place, size in enumerate(sizes.tolist()):
        if size > room:
            continue
        with_it = best[: room + 1 - size] + size * remainder[place]
        # A hair above: of equal choices the earlier target is taken.
        better = with_it > best[size:] + 1e-12
        taken[place, size:] = better
        best[size:] = np.where(better, with_it, best[size:])
    reached = np.flatnonzero(np.isfinite(best))
    away = np.abs(reached - total)
    near = reached[away <= away.min() + 1e-12 * (1 + total)]
    # Of two sums equally near, the one whose targets move less: size (1 - r)^2 instead of size r^2.
    left = int(near[np.argmin(near - 2 * best[near])])
    chosen = np.zeros(len(sizes), bool)
    for place in range(len(sizes) - 1, -1, -1):
        if left and taken[place, left]:
            chosen[place] = True
            left -= int(sizes[place])
    return chosen


def _in_order(sizes: Ints, remainder: Floats, total: float) -> NDArray[np.bool_]:
    chosen = np.zeros(len(sizes), bool)
    beyond, over, left = chosen, np.inf, total
    for place in np.lexsort((np.arange(len(sizes)), -remainder)):
        if sizes[place] <= left:
            chosen[place] = True
            left -= int(sizes[place])
        elif sizes[place] - left < over:
            beyond, over = chosen.copy(), float(sizes[place] - left)
            beyond[place] = True
    return beyond if over < left else chosen
