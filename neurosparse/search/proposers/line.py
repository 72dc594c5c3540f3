"""The line of ATP: one number, the common difference of an arithmetic progression in depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.search.proposers.history import History
from neurosparse.search.space import Space

Floats = NDArray[np.float64]
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class LineProposer(History):
    """Configurations ``even + step * (position - mean position)``, in widths of the boxes.

    Parameters
    ----------
    space
        What is searched; of rates of whole blocks in [0, 1], the step is ATP's beta (equation 10).
    position : sequence of length units
        Depth of each unit; the order of the units by default. Linears of one block share one.
    method
        ``"grid"``: all steps from 0 on, as the paper; ``"golden"``: golden section between the
        least and the greatest step, one evaluation at a time.
    step
        Mesh of the grid (the paper's 0.002). Golden section ends at half of it.
    negative
        Whether early units may give more than late ones; the paper takes positive steps only.
    seed
        Has no meaning here.

    Raises
    ------
    InputError
        A position for each unit is missing, another method, a mesh that is not positive.

    References
    ----------
    ATP, arXiv 2502.14770, equation 10 and section 3.3.
    """

    name = "line"
    batch = 1

    def __init__(self, space: Space, *, seed: int = 0, position: ArrayLike | None = None,
                 method: Literal["grid", "golden"] = "grid", step: float = 0.002,
                 negative: bool = False, start: Sequence[ArrayLike] | None = None) -> None:
        super().__init__(space, seed=seed, start=[] if start is None else start)
        place = np.arange(len(space), dtype=float) if position is None \
            else np.asarray(position, float)
        if place.shape != (len(space),) or method not in ("grid", "golden") or not step > 0:
            raise InputError("propose by line", found=f"position of shape {place.shape}, method "
                             f"{method!r}, step {step!r}",
                             expected=f"{len(space)} positions, 'grid' or 'golden', a positive "
                                      "step")
        self.method, self.step, self.negative = method, float(step), negative
        cost = space.sizes * space.span
        self._direction = space.span * (place - np.average(place, weights=cost)
                                        if cost.sum() > 0 else np.zeros(len(space)))
        low, high = float(space.sizes @ space.lower), float(space.sizes @ space.upper)
        share = (space.constraint.total - low) / (high - low) if high > low else 0.0
        # Not the even configuration: of whole numbers that is rounded already.
        self._base = space.lower + share * space.span

    def options(self) -> dict[str, Any]:
        """Method, mesh, whether steps may be negative, direction."""
        return {"method": self.method, "step": self.step, "negative": self.negative,
                "direction": self._direction.tolist()}

    def bounds(self) -> tuple[float, float]:
        """Least and greatest step at which every unit stays inside its box."""
        return (-self._farthest(-self._direction) if self.negative else 0.0,
                self._farthest(self._direction))

    def _farthest(self, direction: Floats) -> float:
        moves = direction != 0
        room = np.where(direction > 0, self.space.upper - self._base,
                        self._base - self.space.lower)[moves]
        return float(np.min(room / np.abs(direction[moves]))) if moves.any() else 0.0

    def at(self, step: float) -> Floats:
        """The configuration of a step."""
        return self.space.project(self._base + step * self._direction)

    def propose(self, count: int, rng: np.random.Generator) -> list[Floats]:
        """The next steps whose value is not known; none at the end."""
        known = {self.space.key(c): v
                 for c, v in zip(self.configurations, self.values, strict=True)}
        made: dict[str, Floats] = {}
        for each in self._grid() if self.method == "grid" else self._section(known):
            key = self.space.key(each)
            if key not in known:
                made.setdefault(key, each)
            if len(made) == count:
                break
        return list(made.values())

    def _grid(self) -> Iterator[Floats]:
        least, greatest = self.bounds()
        first, last = (math.floor(abs(end) / self.step + 1e-9) for end in (least, greatest))
        for i in range(-first, last + 1):
            yield self.at(i * self.step)

    def _section(self, known: dict[str, float]) -> Iterator[Floats]:
        """What golden section needs to know; it goes no further than what is known."""
        left, right = self.bounds()
        yield self.at(0.0)  # uniform rates, whatever the section does
        while right - left > 0.5 * self.step:
            inner = [right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)]
            points = [self.at(step) for step in inner]
            values = [known.get(self.space.key(point)) for point in points]
            yield from points
            if values[0] is None or values[1] is None:
                return
            if values[0] <= values[1]:
                right = inner[1]
            else:
                left = inner[0]
