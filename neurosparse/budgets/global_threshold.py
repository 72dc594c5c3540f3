"""The rule ``global``: one threshold for the scores of the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets.allocator import exact_mean
from neurosparse.budgets.form import all_finite, array_of, rule_form
from neurosparse.budgets.profile import Profile

Floats = NDArray[np.float64]


def share_below(levels: Floats, quantiles: Floats, threshold: float) -> Floats:
    """Share of each target's scores below a threshold, array of shape (targets,).

    Parameters
    ----------
    levels : array of shape (levels,)
        0 to 1.
    quantiles : array of shape (targets, levels)
        Score below which each share of a target's scores lies; nan where no token reached it.
    """
    return np.array([
        np.interp(threshold, row, levels) if np.isfinite(row[0]) else np.nan for row in quantiles
    ])


def _columns(profile: Profile, sparsity: float, options: Mapping[str, Any]) -> dict[str, Floats]:
    levels, table = (array_of(profile, "scores", name) for name in ("levels", "quantiles"))
    middle = int(np.argmin(np.abs(levels - 0.5)))
    return {"median score": np.asarray(table[:, middle], float)}


@rule_form(evidence=("scores",), columns=_columns)
def global_rates(profile: Profile, sparsity: float) -> Floats:
    """Rule ``global``: the share of each linear's scores below one common threshold.

    The scores are those of the profile's pruning method (Wanda's ``|W| |X|``, or ``|W|``). Within
    the linear the counts are then taken row by row as for every other rule. Shares between the
    measured quantiles are interpolated; the sum is exact. A linear without scores (an expert that
    no token reached) gives ``sparsity``.

    Parameters
    ----------
    profile
        With evidence ``scores``.

    Returns
    -------
    rates : array of shape (targets,)
    """
    levels, table = (array_of(profile, "scores", name) for name in ("levels", "quantiles"))
    sizes = profile.sizes.astype(float)
    known = np.isfinite(table[:, 0])
    if not known.any():
        return np.full(len(sizes), sparsity)
    all_finite(table.sum(1)[known], "scores", [profile.names[i] for i in np.flatnonzero(known)])
    left, right = float(np.nanmin(table)), float(np.nanmax(table))
    for _ in range(200):
        middle = 0.5 * (left + right)
        if np.average(share_below(levels, table[known], middle), weights=sizes[known]) < sparsity:
            left = middle
        else:
            right = middle
    rates = np.full(len(sizes), sparsity)
    rates[known] = exact_mean(share_below(levels, table[known], right), sizes[known], sparsity)
    return rates
