"""CMA-ES (package ``cma``) on the plane of the constraint."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import null_space

from neurosparse.errors import InputError
from neurosparse.extras import extras_named
from neurosparse.search.proposers.history import History
from neurosparse.search.space import Space

Floats = NDArray[np.float64]


class CmaProposer(History):
    """Covariance matrix adaptation in coordinates of the plane ``sum(size * value) = total``.

    Every number is in widths of its box; edges of the box and whole numbers are the projection's.
    The strategy is told where the projection put its points.

    Parameters
    ----------
    space, seed, start
        As for all; the first of the start is the first mean.
    sigma
        First step, in widths of the box.
    population
        Points of a generation; ``4 + 3 ln(dimensions)`` by default.

    Raises
    ------
    MissingExtraError
        The package is not installed.
    InputError
        Fewer than three units that can move, or a step that is not positive.

    References
    ----------
    Hansen, arXiv 1604.00772.
    """

    name = "cma"

    def __init__(self, space: Space, *, seed: int = 0, start: Sequence[ArrayLike] | None = None,
                 sigma: float = 0.05, population: int | None = None) -> None:
        with extras_named():
            import cma  # noqa: F401
        super().__init__(space, seed=seed, start=start)
        self._moves = space.span > 0
        normal = (space.sizes * space.span)[self._moves]
        if len(normal) < 3 or not sigma > 0:
            raise InputError("propose by cma",
                             found=f"{len(normal)} units that can move, sigma {sigma!r}",
                             expected="at least three, and a positive sigma")
        self._plane = null_space(normal[None] / np.linalg.norm(normal))
        self.sigma = float(sigma)
        self.batch = population or 4 + int(3 * math.log(self._plane.shape[1]))

    def options(self) -> dict[str, Any]:
        """First step and points of a generation."""
        return {"sigma": self.sigma, "population": self.batch}

    def propose(self, count: int, rng: np.random.Generator) -> list[Floats]:
        """From a strategy that went through all whole generations that were told.

        It is made anew each time: its state is then what was told, and nothing else.
        """
        strategy = self._strategy(lambda *shape: rng.standard_normal(shape))
        for first in range(0, self.told - self.batch + 1, self.batch):
            here = slice(first, first + self.batch)
            strategy.ask(self.batch)  # the package wants every tell to follow an ask
            strategy.tell([self._inside(x) for x in self.configurations[here]],
                          self._finite(self.values[here]), check_points=False)
        return [self._outside(z) for z in strategy.ask(count)]

    def _strategy(self, randn: Callable[..., Floats]) -> Any:
        from cma import CMAEvolutionStrategy

        # Its own seeding would reach into NumPy's global generator. No stopping rule is asked.
        return CMAEvolutionStrategy(
            np.zeros(self._plane.shape[1]), self.sigma,
            {"popsize": self.batch, "seed": np.nan, "verbose": -9, "verb_log": 0,
             "randn": randn})

    def _inside(self, values: Floats) -> Floats:
        offset = (values - self.centre)[self._moves] / self.space.span[self._moves]
        return np.asarray(self._plane.T @ offset, float)

    def _outside(self, z: Floats) -> Floats:
        found = self.centre.copy()
        found[self._moves] += self.space.span[self._moves] * (self._plane @ z)
        return self.space.project(found)

    @staticmethod
    def _finite(values: list[float]) -> list[float]:
        """Ranks are all that counts: those that failed come last."""
        worst = max((v for v in values if math.isfinite(v)), default=0.0)
        return [v if math.isfinite(v) else worst + 1.0 + abs(worst) for v in values]
