"""Evolution without a language model: Self-Pruner's operators, and EvoPress's level switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.search.proposers.history import History
from neurosparse.search.proposers.operators import (
    crossover,
    gaussian,
    level_switch,
    log_uniform,
    roulette,
    scatter,
    tournament,
    unseen,
)
from neurosparse.search.space import Space

Floats = NDArray[np.float64]


class EvolutionProposer(History):
    """Steady: parents come from the best that were ever told, so the best is never lost.

    Parameters
    ----------
    space, seed, start
        As for all; the start and random draws around it fill the first population.
    population
        How many may be parents. Self-Pruner has 30 of 430 evaluations; with a hundred, few are
        better.
    initial
        Evaluations before the first offspring; as many as the population by default.
    crossing
        Share of the offspring that have two parents (a half in Self-Pruner).
    switching
        Share of the mutations that are level switches, not Gaussian.
    selection
        ``"tournament"`` (of two) or ``"roulette"`` (by rank).
    steps
        Least and greatest step of a mutation, in widths of the box.
    spread
        Of the first population, as for random search.

    Raises
    ------
    InputError
        An option out of range.

    References
    ----------
    Self-Pruner, arXiv 2502.14413; EvoPress, arXiv 2410.14649.
    """

    name = "evolution"
    batch = 4

    def __init__(self, space: Space, *, seed: int = 0, start: Sequence[ArrayLike] | None = None,
                 population: int = 3, initial: int | None = None, crossing: float = 0.4,
                 switching: float = 0.2,
                 selection: Literal["tournament", "roulette"] = "tournament",
                 steps: tuple[float, float] = (0.01, 0.1),
                 spread: tuple[float, float] = (0.02, 0.15)) -> None:
        super().__init__(space, seed=seed, start=start)
        if (population < 1 or not 0 <= crossing <= 1 or not 0 <= switching <= 1
                or selection not in ("tournament", "roulette") or not 0 < steps[0] <= steps[1]):
            raise InputError("propose by evolution", found=f"population {population!r}, crossing "
                             f"{crossing!r}, switching {switching!r}, selection {selection!r}, "
                             f"steps {steps!r}",
                             expected="at least one parent, shares in [0, 1], 'tournament' or "
                                      "'roulette', 0 < least step <= greatest")
        self.population = population
        self.initial = population if initial is None else initial
        self.crossing, self.switching, self.selection = crossing, switching, selection
        self.steps = (float(steps[0]), float(steps[1]))
        self.spread = (float(spread[0]), float(spread[1]))

    def options(self) -> dict[str, Any]:
        """All of them."""
        return {"population": self.population, "initial": self.initial, "crossing": self.crossing,
                "switching": self.switching, "selection": self.selection,
                "steps": list(self.steps), "spread": list(self.spread)}

    def propose(self, count: int, rng: np.random.Generator) -> list[Floats]:
        """Offspring of the best; random draws while the first population is not full."""
        known = set(self.keys)
        parents = [self.configurations[i] for i in self.best(self.population)]
        first = max(self.initial - self.told, 0) if parents else count
        made = []
        for number in range(count):
            if number < first:
                made.append(unseen(self.space, lambda _: scatter(self.space, self.centre,
                                                                 self.spread, rng), known))
            else:
                made.append(unseen(self.space, lambda attempt: self._child(parents, attempt, rng),
                                   known))
        return made

    def _child(self, parents: list[Floats], attempt: int, rng: np.random.Generator) -> Floats:
        place = self._pick(len(parents), rng)
        parent = parents[place]
        if rng.random() < self.crossing:
            other = self._pick(len(parents), rng)
            parent = crossover(self.space, parents[min(place, other)], parents[max(place, other)],
                               rng)
            # Parents that agree have no new child without a mutation.
            if attempt == 0:
                return parent
        # What steps of this width do not change needs wider ones.
        step = min(log_uniform(self.steps, rng) * 2.0**attempt, 1.0)
        operator = level_switch if rng.random() < self.switching else gaussian
        return operator(self.space, parent, step, rng)

    def _pick(self, ranks: int, rng: np.random.Generator) -> int:
        return roulette(ranks, rng) if self.selection == "roulette" else tournament(ranks, 2, rng)
