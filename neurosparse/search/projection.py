"""One projection onto the constraint, for rates, whole numbers, and both together.

A configuration ``x`` lies in a box and keeps ``sum_i size_i x_i``. Rates are shifted by one
constant inside their boxes (papers.md section 4 (c), by bisection). Whole numbers are rounded by
the largest remainder, coarse grains first: what a head is too coarse for, the neurons take up, and
what they are too coarse for, the rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets import exact_counts, exact_mean
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
TOLERANCE = 1e-12
"""How exactly the mean of rates is kept."""


@dataclass(frozen=True)
class Constraint:
    """A box and a sum.

    Attributes
    ----------
    sizes : array of shape (units,)
        What a value of one costs.
    lower, upper : arrays of shape (units,)
        The box; whole numbers where ``integer``.
    integer : boolean array of shape (units,)
    total
        ``sum(sizes * values)`` to keep: exactly where a unit is continuous, else to half the cost
        of the finest grain.
    """

    sizes: Floats
    lower: Floats
    upper: Floats
    integer: Bools
    total: float

    @property
    def slack(self) -> float:
        """How far ``sum(sizes * values)`` may be from the total."""
        scale = float(np.sum(self.sizes)) * max(1.0, float(np.max(np.abs(self.upper))))
        rounding = TOLERANCE * scale
        if not self.integer.all():
            return rounding
        return 0.5 * float(np.min(self.sizes)) + rounding

    def check(self) -> None:
        """Refuse a total that the box does not reach, or grains that leave gaps.

        Raises
        ------
        BudgetError
            Says which.
        """
        low, high = float(self.sizes @ self.lower), float(self.sizes @ self.upper)
        if not low - self.slack <= self.total <= high + self.slack:
            raise BudgetError("make a search space", found=f"a total cost of {self.total:.12g}",
                              expected=f"one in [{low:.12g}, {high:.12g}], all that the bounds "
                              "allow")
        room = self.sizes * (self.upper - self.lower)
        for size in self.grains():
            finer = ~self.integer | (self.sizes < size)
            if finer.any() and float(room[finer].sum()) < size:
                raise BudgetError(
                    "make a search space",
                    found=f"a grain of {size:g} above finer units with room for "
                          f"{float(room[finer].sum()):g}",
                    expected="finer units that can take up what the coarse grain rounds away",
                    mend="Widen their bounds, or leave them out.")

    def grains(self) -> list[float]:
        """Costs of one step of the whole numbers, coarsest first."""
        return sorted({float(size) for size in self.sizes[self.integer]}, reverse=True)

    def holds(self, values: Floats) -> bool:
        """Whether the values are in the box, whole where they must be, and keep the total."""
        whole = values[self.integer]
        return bool(np.all(values >= self.lower) and np.all(values <= self.upper)
                    and np.all(whole == np.rint(whole))
                    and abs(float(self.sizes @ values) - self.total) <= self.slack)


def project(values: Floats, constraint: Constraint) -> Floats:
    """The allowed configuration that belongs to any numbers.

    Values outside the box go to its edge first: an answer of 500 asks for the most, no more.
    Idempotent; within units of one kind and box it keeps the order.

    Parameters
    ----------
    values : array of shape (units,)
        Any finite numbers.

    Returns
    -------
    configuration : array of shape (units,)

    Raises
    ------
    BudgetError
        The values are not finite or not one for each unit.
    """
    if values.shape != constraint.sizes.shape or not np.all(np.isfinite(values)):
        raise BudgetError("project a configuration", found=_shown(values),
                          expected=f"{len(constraint.sizes)} finite numbers")
    found = np.clip(values, constraint.lower, constraint.upper)
    if constraint.holds(found):
        return found
    everything = np.ones(len(found), np.bool_)
    found = _shifted(found, constraint, everything, constraint.total)
    return _rounded(found, constraint) if constraint.integer.any() else found


def _shown(values: Floats) -> str:
    if values.ndim != 1:
        return f"an array of shape {values.shape}"
    wrong = values[~np.isfinite(values)]
    return f"{len(values)} numbers" + (f", among them {wrong[0]}" if len(wrong) else "")


def _shifted(values: Floats, constraint: Constraint, where: Bools, total: float) -> Floats:
    """Shift the units ``where`` inside their boxes so that they cost ``total``."""
    found = values.copy()
    x, mass = values[where], constraint.sizes[where]
    low, high = constraint.lower[where], constraint.upper[where]
    # Differences of large sums carry their rounding error: keep the mean inside what is possible.
    mean = float(np.clip(total / mass.sum(), np.average(low, weights=mass),
                         np.average(high, weights=mass)))
    # Away from the edges one shift is exact; the bisection is for the rest.
    moved = x + (mean - float(np.average(x, weights=mass)))
    if np.all(moved >= low) and np.all(moved <= high):
        moved = moved + (mean - float(np.average(moved, weights=mass)))
        found[where] = np.clip(moved, low, high)
        return found
    found[where] = exact_mean(x, mass, mean, lower=low, upper=high)
    return found


def _rounded(values: Floats, constraint: Constraint) -> Floats:
    """Whole numbers where they must be, one grain after the other, coarsest first."""
    found, rest = values.copy(), constraint.total
    free = np.ones(len(values), np.bool_)
    for size in constraint.grains():
        here = constraint.integer & (constraint.sizes == size)
        free &= ~here
        count = _count(found, constraint, here, free, rest, size)
        found[here] = _whole(found[here], constraint.lower[here], constraint.upper[here], count)
        rest -= size * count
        if free.any():
            found = _shifted(found, constraint, free, rest)
    return found


def _count(values: Floats, constraint: Constraint, here: Bools, finer: Bools, rest: float,
           size: float) -> int:
    """Sum of the whole numbers of one grain that the finer units can still make good."""
    low = float(constraint.sizes[finer] @ constraint.lower[finer])
    high = float(constraint.sizes[finer] @ constraint.upper[finer])
    wanted = float(values[here].sum()) if finer.any() else rest / size
    least, most = np.ceil((rest - high) / size - 1e-9), np.floor((rest - low) / size + 1e-9)
    if finer.any():
        wanted = float(np.clip(np.rint(wanted), least, most))
    bounds = constraint.lower[here].sum(), constraint.upper[here].sum()
    return int(np.clip(np.rint(wanted), *bounds))


def _whole(values: Floats, lower: Floats, upper: Floats, count: int) -> Floats:
    room = upper - lower
    shares = np.divide(values - lower, room, out=np.zeros_like(values), where=room > 0)
    steps = exact_counts(shares, room.astype(np.int64), count - int(lower.sum()))
    return lower + steps
