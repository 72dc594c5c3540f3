"""Several fidelities: all on few windows, the survivors on more (EvoPress's selection)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError

Floats = NDArray[np.float64]
Measure = Callable[[list[Floats], int], list[float]]


@dataclass(frozen=True)
class Ladder:
    """Rungs, lowest first.

    Attributes
    ----------
    fidelities
        Cost of one evaluation on each rung in any unit (windows, tokens); increasing.
    survivors
        How many of a batch go up to each rung but the first; not increasing.
    """

    fidelities: tuple[int, ...] = (1,)
    survivors: tuple[int, ...] = ()

    @classmethod
    def of(cls, fidelities: Sequence[int] | None, survivors: Sequence[int]) -> Ladder:
        """Check what a user gave; None is one rung.

        Raises
        ------
        InputError
            Fidelities that do not increase, or not one count of survivors for each step.
        """
        rungs, counts = tuple(fidelities or (1,)), tuple(survivors)
        whole = all(isinstance(n, int) and n > 0 for n in (*rungs, *counts))
        if not (whole and list(rungs) == sorted(set(rungs)) and len(counts) == len(rungs) - 1
                and list(counts) == sorted(counts, reverse=True)):
            raise InputError("search", found=f"fidelities {fidelities!r}, survivors {survivors!r}",
                             expected="increasing whole numbers, and for each but the first how "
                                      "many survive to it")
        return cls(rungs, counts)

    @property
    def top(self) -> int:
        """The fidelity that decides."""
        return self.fidelities[-1]

    def cost(self, count: int) -> int:
        """What a batch costs at most, in the unit of the fidelities."""
        sizes = (count, *(min(count, n) for n in self.survivors))
        return sum(n * fidelity for n, fidelity in zip(sizes, self.fidelities, strict=True))

    def affordable(self, batch: int, room: int) -> int:
        """The largest batch, at most ``batch``, that ``room`` pays for."""
        return next((n for n in range(batch, 0, -1) if self.cost(n) <= room), 0)

    def climb(self, batch: list[Floats], measure: Measure) -> list[float]:
        """Evaluate a batch rung by rung.

        Parameters
        ----------
        measure
            ``measure(configurations, fidelity)``; infinite where an evaluation failed.

        Returns
        -------
        values
            For the survivors of all rungs their value on the highest. One that fell out keeps its
            distance to the worst survivor of its rung, from that survivor's value above: the order
            of the batch is kept and no value of a low rung is mixed with those of a high one.
        """
        values = measure(batch, self.fidelities[0])
        for fidelity, count in zip(self.fidelities[1:], self.survivors, strict=True):
            order = sorted(range(len(batch)), key=lambda i: values[i])
            up, out = sorted(order[:count]), order[count:]
            above = measure([batch[i] for i in up], fidelity)
            worst_below, worst_above = max(values[i] for i in up), max(above)
            climbed = dict(zip(up, above, strict=True))
            for i in out:
                climbed[i] = (worst_above + values[i] - worst_below
                              if math.isfinite(values[i]) else math.inf)
            values = [climbed[i] for i in range(len(batch))]
        return values
