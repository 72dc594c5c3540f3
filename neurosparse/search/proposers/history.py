"""What proposers share: what they were told, a generator that depends on nothing else, a start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.search.space import Space

Floats = NDArray[np.float64]


class History:
    """Base of the proposers.

    Parameters
    ----------
    space
        What is searched.
    seed
        Not negative.
    start
        Configurations to evaluate first (those of a rule, say); the even one by default.

    Raises
    ------
    InputError
        A seed that is none.
    BudgetError
        A start that is no configuration.
    """

    name = "history"
    batch = 8

    def __init__(self, space: Space, *, seed: int = 0, start: Sequence[ArrayLike] | None = None
                 ) -> None:
        if not isinstance(seed, int) or seed < 0:
            raise InputError(f"propose by {self.name}", found=f"seed {seed!r}",
                             expected="a whole number, not negative")
        self.space, self.seed = space, seed
        self.start = [space.even()] if start is None else [space.project(each) for each in start]
        self.configurations: list[Floats] = []
        self.values: list[float] = []
        self.keys: set[str] = set()

    @property
    def told(self) -> int:
        """How many values it was told."""
        return len(self.values)

    @property
    def centre(self) -> Floats:
        """Where scattering starts: the first configuration of ``start``, or the even one."""
        return self.start[0] if self.start else self.space.even()

    def options(self) -> dict[str, Any]:
        """What distinguishes it from others of its name but the seed; JSON."""
        return {}

    def identity(self) -> dict[str, Any]:
        """Name, seed, start and options."""
        return {"proposer": self.name, "seed": self.seed,
                "start": [self.space.key(each) for each in self.start], **self.options()}

    def tell(self, configuration: Floats, value: float) -> None:
        """Remember what a configuration gave."""
        self.configurations.append(configuration)
        self.values.append(math.inf if math.isnan(value) else float(value))
        self.keys.add(self.space.key(configuration))

    def ask(self, count: int) -> list[Floats]:
        """What of the start was not told yet, then proposals."""
        first = self.start[self.told:][:count]
        rest = count - len(first)
        return first + (self.propose(rest, self.generator()) if rest else [])

    def propose(self, count: int, rng: np.random.Generator) -> list[Floats]:
        """At most ``count`` configurations, from what was told and the generator alone."""
        raise NotImplementedError

    def generator(self) -> np.random.Generator:
        """Depends on the seed and on how much was told, not on how often it was asked."""
        return np.random.default_rng([self.seed, self.told])

    def best(self, count: int) -> list[int]:
        """Places of the best distinct configurations that did not fail, best first."""
        found: dict[str, int] = {}
        for i in sorted(range(self.told), key=lambda i: self.values[i]):
            if len(found) == count or math.isinf(self.values[i]):
                break
            found.setdefault(self.space.key(self.configurations[i]), i)
        return list(found.values())

    def notes(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def recall(self, notes: dict[str, Any]) -> None:
        """Nothing to take back."""
