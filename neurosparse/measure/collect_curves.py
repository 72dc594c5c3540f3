"""Evidence ``curves``: local error of every linear at several rates, from its Gram matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from neurosparse.budgets import Curves
from neurosparse.errors import InputError
from neurosparse.measure.curves import local_error
from neurosparse.measure.evidence import Collector, Scene
from neurosparse.models import get_weight
from neurosparse.pruning import StatisticsByTarget


class CurvesCollector(Collector):
    """Local error curves (theory.md section 1), kept in ``Profile.curves``.

    Costs no forward pass beyond the walk; each linear's Gram matrix and one product a level.

    Parameters
    ----------
    levels
        Rates in [0, 1].

    Raises
    ------
    InputError
        No level, or one outside [0, 1].
    """

    name: ClassVar[str] = "curves"
    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    def __init__(self, levels: Sequence[float]) -> None:
        if not levels or any(not 0 <= level <= 1 for level in levels):
            raise InputError("profile", found=f"levels {list(levels)}", expected="rates in [0, 1]")
        self._levels = list(levels)
        self._errors: dict[str, list[float]] = {}

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Curves of the block's linears; nan where no token reached an expert."""
        for target in scene.of_block(index):
            seen = statistics.get(target.name)
            self._errors[target.name] = (
                [float("nan")] * len(self._levels) if seen is None else
                local_error(get_weight(scene.model, target), seen, scene.method, self._levels))

    def curves(self, scene: Scene) -> Curves:
        """What was found, in the order of the targets."""
        return Curves(np.array(self._levels, float),
                      np.array([self._errors[t.name] for t in scene.targets]), scene.method.name)
