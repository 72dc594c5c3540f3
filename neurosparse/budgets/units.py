"""What gets a rate of its own: every block, or every linear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.profile import Profile
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]
PER = ("block", "linear")


@dataclass(frozen=True)
class Units:
    """Targets put together.

    Attributes
    ----------
    where : array of shape (targets,)
        Unit of each target.
    sizes : array of shape (units,)
        Parameters.
    weights : array of shape (targets,)
        Parameters of each target.
    """

    where: NDArray[np.int64]
    sizes: Floats
    weights: Floats

    def mean(self, values: Floats, *, weighted: bool = True) -> Floats:
        """Mean over the targets of each unit, array of shape (units,).

        Targets that are nan (an expert that no token reached) do not count; a unit of such targets
        alone is nan.
        """
        known = np.isfinite(values)
        mass = np.where(known, self.weights if weighted else 1.0, 0.0)
        total = np.bincount(self.where, mass, len(self.sizes))
        found = np.bincount(self.where, mass * np.where(known, values, 0.0), len(self.sizes))
        empty = np.full(len(total), np.nan)
        return np.asarray(np.divide(found, total, out=empty, where=total > 0), float)

    def spread(self, values: Floats) -> Floats:
        """The value of each target's unit, array of shape (targets,)."""
        return np.asarray(values[self.where], float)


def units(profile: Profile, per: str = "block") -> Units:
    """Group the targets of a profile.

    Parameters
    ----------
    per
        ``"block"`` or ``"linear"``.

    Raises
    ------
    BudgetError
        Another word.
    """
    weights = profile.sizes.astype(float)
    if per == "linear":
        return Units(np.arange(len(weights)), weights, weights)
    if per != "block":
        raise BudgetError("allocate", found=f"per={per!r}", expected=" or ".join(map(repr, PER)))
    _, where = np.unique(profile.block, return_inverse=True)
    return Units(where.astype(np.int64), np.asarray(np.bincount(where, weights), float), weights)
