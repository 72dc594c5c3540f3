"""From scores to rates with an exact mean: a band around it, factors of it, an order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.allocator import exact_mean
from neurosparse.errors import BudgetError

Floats = NDArray[np.float64]


def check_width(name: str, width: float, *, most: float = 1.0) -> float:
    """Return a half-width that is a number in [0, ``most``].

    Raises
    ------
    BudgetError
        It is not.
    """
    if not isinstance(width, (int, float)) or not 0 <= width <= most:
        raise BudgetError("allocate", found=f"{name}={width!r}",
                          expected=f"a number in [0, {most:g}]")
    return float(width)


def unit_interval(scores: Floats) -> Floats:
    """Scores moved and stretched to [0, 1]; all 1/2 where they are equal; nan becomes their mean.

    Parameters
    ----------
    scores : array of shape (units,)
    """
    known = np.isfinite(scores)
    low, high = (scores[known].min(), scores[known].max()) if known.any() else (0.0, 0.0)
    if high <= low:
        return np.full(len(scores), 0.5)
    scaled = (scores - low) / (high - low)
    return np.where(known, scaled, scaled[known].mean())


def band(importance: Floats, sizes: Floats, sparsity: float, width: float) -> Floats:
    """Rates in a band of ``2 width``, falling linearly with importance, of exact weighted mean.

    With d the importance stretched to [0, 2 width], ``rate = sparsity + mean(d) - d``: the form
    that OWL (arXiv 2310.05175), DLP and LSA share. Means are weighted by size. Rates that would
    leave [0, 1] stay at its ends and the others move to keep the mean.

    Parameters
    ----------
    importance, sizes : arrays of shape (units,)
    sparsity
        Weighted mean of the rates, kept to 1e-12.
    width
        Half the width of the band.
    """
    gain = 2 * check_width("width", width) * unit_interval(importance)
    return exact_mean(sparsity + np.average(gain, weights=sizes) - gain, sizes, sparsity)


def scaled(factors: Floats, sizes: Floats, sparsity: float) -> Floats:
    """Rates proportional to positive factors, none above 1, of exact weighted mean.

    ``rate = min(1, eta factor)`` with eta found by bisection: where no rate reaches 1 it is the
    ``eta`` of AlphaPruning (arXiv 2410.10912).
    """
    left, right = 0.0, 1.0 / float(factors.min())
    for _ in range(200):
        middle = 0.5 * (left + right)
        if np.average(np.minimum(middle * factors, 1.0), weights=sizes) < sparsity:
            left = middle
        else:
            right = middle
    return exact_mean(np.minimum(right * factors, 1.0), sizes, sparsity)


def box_by_order(cost: Floats, sizes: Floats, sparsity: float, width: float) -> Floats:
    """Minimise ``sum n_l c_l s_l`` at a fixed weighted mean inside a symmetric box, exactly.

    A linear programme with one constraint: the units of least cost go to the upper end, the
    others to the lower end, and at most one lies between (papers.md section 3).

    Parameters
    ----------
    cost, sizes : arrays of shape (units,)
    sparsity
        Weighted mean of the rates.
    width
        The box is ``sparsity - width`` to ``sparsity + width``, made narrower on both sides by the
        same amount where it would leave [0, 1].
    """
    half = min(check_width("width", width), sparsity, 1.0 - sparsity)
    rates = np.full(len(cost), sparsity - half)
    left = half * float(sizes.sum())
    for unit in np.lexsort((np.arange(len(cost)), cost)):
        more = min(2 * half, left / sizes[unit])
        rates[unit] += more
        left -= more * sizes[unit]
    return exact_mean(np.clip(rates, 0.0, 1.0), sizes, sparsity)
