"""Operators on configurations: each result is projected, so each is a configuration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neurosparse.search.space import Space

Floats = NDArray[np.float64]
Generator = np.random.Generator


def log_uniform(between: tuple[float, float], rng: Generator) -> float:
    """A width: nobody knows the right scale of a step beforehand, so all are tried."""
    return float(np.exp(rng.uniform(*np.log(between))))


def gaussian(space: Space, values: Floats, sigma: float, rng: Generator) -> Floats:
    """Gaussian mutation: every unit moves, by ``sigma`` widths of its box."""
    return space.project(values + sigma * space.span * rng.standard_normal(len(values)))


def level_switch(space: Space, values: Floats, step: float, rng: Generator) -> Floats:
    """EvoPress's mutation: one unit gives what another takes, so that the total stays.

    One to three pairs, few more often (the least of two draws, as in the paper's code); ``step`` in
    widths of the box, whole numbers by one at least.
    """
    found = values.copy()
    movable = np.flatnonzero(space.span > 0)
    if len(movable) < 2:
        return space.project(found)
    for _ in range(int(min(rng.integers(1, 4, 2)))):
        up, down = rng.choice(movable, 2, replace=False)
        wanted = step * float(space.span[up])
        if space.integer[up]:
            wanted = max(1.0, np.rint(wanted))
        price = float(space.sizes[up] / space.sizes[down])
        amount = min(wanted, space.upper[up] - found[up], (found[down] - space.lower[down]) / price)
        found[up] += amount
        found[down] -= amount * price
    return space.project(found)


def crossover(space: Space, one: Floats, other: Floats, rng: Generator) -> Floats:
    """Units from either parent, or a point on the line through them: between them, or as far
    beyond the first, which should be the better one.
    """
    if rng.random() < 0.5:
        return space.project(np.where(rng.random(len(one)) < 0.5, one, other))
    return space.project(one + rng.uniform(-1.0, 1.0) * (other - one))


def scatter(space: Space, centre: Floats, spread: tuple[float, float], rng: Generator) -> Floats:
    """A Gaussian mutation of a width drawn between the two numbers, evenly in its logarithm."""
    return gaussian(space, centre, log_uniform(spread, rng), rng)


def tournament(ranks: int, size: int, rng: Generator) -> int:
    """The best of ``size`` drawn; places are ranks, best first."""
    return int(np.min(rng.integers(0, ranks, size)))


def roulette(ranks: int, rng: Generator) -> int:
    """One place, with a chance that falls linearly with its rank."""
    weights = np.arange(ranks, 0, -1, dtype=float)
    return int(rng.choice(ranks, p=weights / weights.sum()))


def unseen(space: Space, make: Callable[[int], Floats], known: set[str], *, tries: int = 8
           ) -> Floats:
    """The first of some tries that is not known, else the last; its key joins ``known``.

    Parameters
    ----------
    make
        ``make(attempt)``: later attempts may step further.
    """
    for attempt in range(tries):
        found = make(attempt)
        key = space.key(found)
        if key not in known:
            break
    known.add(key)
    return found
