"""The usual spaces: rates from sizes or a profile, counts of heads and neurons, ranks and bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neurosparse.budgets import ModelIdentity, Profile
from neurosparse.budgets.bounds import Bound, target_bounds
from neurosparse.budgets.budget import Kind
from neurosparse.budgets.units import units as grouped
from neurosparse.errors import BudgetError
from neurosparse.search.space import Space, Unit

Model = ModelIdentity | Mapping[str, Any] | None


def rate_space(sizes: Sequence[int], sparsity: float, *, names: Sequence[str] | None = None,
               lower: ArrayLike = 0.0, upper: ArrayLike = 1.0, model: Model = None,
               resolution: float = 1e-4) -> Space:
    """Rates whose mean, weighted by ``sizes``, is ``sparsity``.

    Parameters
    ----------
    sizes : sequence of length units
        Parameters.
    sparsity
        The mean, in [0, 1).
    names
        ``block.0`` ... by default, which ``pruning.prune`` understands for any model.
    lower, upper : scalar or array of shape (units,)

    Raises
    ------
    BudgetError
        Sizes, bounds or a mean that make no sense.
    """
    called = [f"block.{i}" for i in range(len(sizes))] if names is None else list(names)
    low = np.broadcast_to(np.asarray(lower, float), (len(sizes),))
    high = np.broadcast_to(np.asarray(upper, float), (len(sizes),))
    return Space([Unit(name, int(size), "sparsity", float(a), float(b))
                  for name, size, a, b in _together(called, sizes, low, high)],
                 sparsity, model=model, resolution=resolution)


def profile_space(profile: Profile, sparsity: float, *, per: str = "block", lower: Bound = 0.0,
                  upper: Bound = 1.0) -> Space:
    """Rates of the blocks or of the linears of a profile.

    Parameters
    ----------
    per
        ``"block"`` (few numbers, targets ``block.0`` ...) or ``"linear"``.
    lower, upper
        As for ``budgets.allocate``; a block takes the narrowest box of its linears.

    Raises
    ------
    BudgetError
        As ``budgets.allocate``.
    """
    low, high = target_bounds(profile, lower, upper)
    groups = grouped(profile, per)
    count = len(groups.sizes)
    least, most = np.zeros(count), np.ones(count)
    np.maximum.at(least, groups.where, low)
    np.minimum.at(most, groups.where, high)
    names = profile.names if per == "linear" else [f"block.{b}" for b in np.unique(profile.block)]
    return rate_space([int(size) for size in groups.sizes], sparsity, names=names, lower=least,
                      upper=most, model=profile.model or None)


def count_space(counts: Sequence[int], costs: Sequence[int], share: float, *,
                kinds: Kind | Sequence[Kind] = "heads", names: Sequence[str] | None = None,
                keep: int = 1, model: Model = None) -> Space:
    """How many heads, neurons or experts go, for a share of their parameters.

    Parameters
    ----------
    counts : sequence of length units
        How many each unit has.
    costs : sequence of length units
        Parameters of one of them; heads and neurons of one model differ.
    share
        Of the parameters of all of them, in [0, 1).
    kinds
        One for all or one for each.
    keep
        What every unit keeps at least.

    Raises
    ------
    BudgetError
        Nothing to choose from, or a share out of reach.
    """
    called = [f"block.{i}" for i in range(len(counts))] if names is None else list(names)
    each = [kinds] * len(counts) if isinstance(kinds, str) else list(kinds)
    made = [Unit(name, int(cost), kind, 0.0, float(max(count - keep, 0)))
            for name, cost, kind, count in _together(called, costs, each, counts)]
    whole = float(np.dot(np.asarray(counts, float), np.asarray(costs, float)))
    return Space(made, share, whole=whole, model=model)


def mean_space(sizes: Sequence[int], mean: float, *, kind: Kind, lower: int, upper: int,
               names: Sequence[str] | None = None, model: Model = None) -> Space:
    """Whole numbers with a given mean weighted by ``sizes``: bits a weight, ranks.

    Raises
    ------
    BudgetError
        A mean outside the bounds.
    """
    called = [f"block.{i}" for i in range(len(sizes))] if names is None else list(names)
    return Space([Unit(name, int(size), kind, float(lower), float(upper))
                  for name, size in _together(called, sizes)], mean, model=model)


def _together(*columns: Any) -> list[tuple[Any, ...]]:
    if len({len(column) for column in columns}) != 1:
        raise BudgetError("make a search space",
                          found=f"lists of lengths {[len(column) for column in columns]}",
                          expected="one entry for each unit")
    return list(zip(*columns, strict=True))
