"""Ranks of low-rank adapters: whole numbers with an exact mean, more where the error is larger."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from neurosparse.budgets.allocator import Ints, integers
from neurosparse.errors import BudgetError


def ranks_by_error(errors: ArrayLike, mean: float, *, lower: int = 1, upper: int = 16) -> Ints:
    """Ranks as nearly proportional to errors as bounds and whole numbers allow.

    LoSA's equation 7 (arXiv 2502.14816) rounds and corrects in one pass, which misses the total
    where errors are steep. Here they minimise ``sum_l e_l^2 / r_l``, whose optimum without bounds
    is ``r_l`` proportional to ``e_l``; marginal greedy finds the optimum of whole numbers.

    Parameters
    ----------
    errors : array of shape (units,)
        Not negative.
    mean
        Mean rank; the sum is ``round(mean * units)`` exactly.
    lower, upper
        Least and greatest rank.

    Returns
    -------
    int64 array of shape (units,)

    Raises
    ------
    BudgetError
        Errors that are negative or not finite, bounds that cross, or a mean outside them.
    """
    found = np.asarray(errors, float)
    if found.ndim != 1 or not len(found) or not np.all(np.isfinite(found)) or np.any(found < 0):
        raise BudgetError("allocate ranks", found="errors that are negative, nan or none",
                          expected="finite errors of at least 0")
    if not 1 <= lower <= upper or not lower <= mean <= upper:
        raise BudgetError("allocate ranks", found=f"mean {mean:g} in [{lower}, {upper}]",
                          expected="1 <= lower <= mean <= upper")
    # Units without any error still share what is left over evenly: a tiny error instead of none.
    scale = max(float(found.max()), np.finfo(float).tiny)
    relative = np.maximum(found / scale, 1e-9)
    counts = np.arange(lower, upper + 1)
    costs = [one**2 / counts for one in relative]
    spare = round(mean * len(found)) - lower * len(found)
    return integers(costs, spare) + lower
