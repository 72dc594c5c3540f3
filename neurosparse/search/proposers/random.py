"""Random search: the control that every other proposer has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.search.proposers.history import History
from neurosparse.search.proposers.operators import scatter, unseen
from neurosparse.search.space import Space

Floats = NDArray[np.float64]


class RandomProposer(History):
    """Independent draws around the start, of widths that differ from draw to draw.

    Draws from the whole box would be useless: rates near 0 and 1 everywhere, and a perplexity of
    thousands.

    Parameters
    ----------
    space, seed, start
        As for all.
    spread
        Least and greatest width, in widths of the box.
    """

    name = "random"
    batch = 8

    def __init__(self, space: Space, *, seed: int = 0, start: Sequence[ArrayLike] | None = None,
                 spread: tuple[float, float] = (0.02, 0.15)) -> None:
        super().__init__(space, seed=seed, start=start)
        self.spread = (float(spread[0]), float(spread[1]))

    def options(self) -> dict[str, Any]:
        """The spread."""
        return {"spread": list(self.spread)}

    def propose(self, count: int, rng: np.random.Generator) -> list[Floats]:
        """Draw anew."""
        known = set(self.keys)
        return [unseen(self.space, lambda _: scatter(self.space, self.centre, self.spread, rng),
                       known) for _ in range(count)]
