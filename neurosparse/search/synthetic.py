"""A fitness whose optimum is known, to measure proposers by their regret (papers.md 4 (f) 2).

``f(p) = sum_i w_i exp(k p_i)`` under ``sum_i m_i p_i = beta sum_i m_i``. Stationarity,
``k w_i exp(k p_i) = lambda m_i``, gives ``p_i = c + (ln m_i - ln w_i) / k`` with the constant that
keeps the mean: for equal sizes ``p_i = beta + (mean(ln w) - ln w_i) / k``. In a box the optimum is
the same, clipped, with another constant (the problem is convex; these are its KKT conditions).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.budgets import exact_mean
from neurosparse.errors import InputError
from neurosparse.search.proposers.protocol import Proposer
from neurosparse.search.run import search
from neurosparse.search.space import Space

Floats = NDArray[np.float64]


class Synthetic:
    """``sum_i w_i exp(k p_i)``, relative to its optimum.

    Parameters
    ----------
    space
        Of rates.
    weights : array of shape (units,)
        Positive.
    steepness
        k, positive.

    Raises
    ------
    InputError
        Weights or a steepness that are not positive, or a space with whole numbers.
    """

    def __init__(self, space: Space, weights: ArrayLike, steepness: float = 9.0) -> None:
        self.weights, self.steepness = np.array(weights, float), float(steepness)
        if (self.weights.shape != (len(space),) or not np.all(self.weights > 0)
                or not steepness > 0 or space.integer.any()):
            raise InputError("make a synthetic fitness",
                             found=f"weights of shape {self.weights.shape}, steepness "
                                   f"{steepness!r}",
                             expected=f"{len(space)} positive weights of rates, a positive "
                                      "steepness")
        free = (np.log(space.sizes) - np.log(self.weights)) / self.steepness
        self.optimum = exact_mean(free, space.sizes, space.total * space.whole / space.sizes.sum(),
                                  lower=space.lower, upper=space.upper)
        self.least = self._sum(self.optimum)

    @classmethod
    def random(cls, space: Space, *, seed: int = 0, spread: float = 1.0, steepness: float = 9.0
               ) -> Synthetic:
        """Log-normal weights: ``ln w`` has standard deviation ``spread``."""
        rng = np.random.default_rng(seed)
        return cls(space, np.exp(spread * rng.standard_normal(len(space))), steepness)

    def _sum(self, values: Floats) -> float:
        return float(np.sum(self.weights * np.exp(self.steepness * values)))

    def __call__(self, values: ArrayLike) -> float:
        """``f(p) / f(optimum)``: one at the optimum, more elsewhere."""
        return self._sum(np.asarray(values, float)) / self.least


def regret(values: ArrayLike, optimum: float = 1.0) -> Floats:
    """Best value so far above the optimum, after each evaluation.

    Parameters
    ----------
    values : array of shape (..., evaluations)
        In order; infinite where an evaluation failed.

    Returns
    -------
    regret : array of shape (..., evaluations)
        Never increasing.
    """
    found = np.asarray(values, float)
    return np.asarray(np.minimum.accumulate(found, axis=-1) - optimum, float)


def regrets(space: Space, proposer: Callable[[int], Proposer], evaluations: int, seeds: int, *,
            spread: float = 1.0, steepness: float = 9.0) -> Floats:
    """Regret of one kind of proposer against evaluations, on a new fitness for each seed.

    Parameters
    ----------
    proposer
        ``proposer(seed)`` makes a fresh one.

    Returns
    -------
    regret : array of shape (seeds, evaluations)
        A proposer that ended before keeps its last value.
    """
    rows = np.empty((seeds, evaluations))
    for seed in range(seeds):
        fitness = Synthetic.random(space, seed=seed, spread=spread, steepness=steepness)
        found = search(space, fitness, proposer(seed), evaluations, takes="values").values()
        rows[seed] = np.concatenate([found, np.full(evaluations - len(found), np.inf)])
    return regret(rows)
