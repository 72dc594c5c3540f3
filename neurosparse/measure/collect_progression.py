"""Evidence ``progression``: marginal damage where the path is made of arithmetic progressions."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets import least_damage_step, path_below, progression_rates
from neurosparse.measure.collect_propagation import PropagationCollector
from neurosparse.measure.evidence import Scene

Floats = NDArray[np.float64]


class ProgressionCollector(PropagationCollector):
    """What ``arithmetic`` needs to predict its step (theory.md section 2).

    The path of ``propagation``, with every budget on it a progression: the step of least damage
    near one point is taken at the next. The last point is measured twice on the same windows,
    so that the second answer says how far the first fell short.

    Parameters
    ----------
    up_to
        Sparsity that will be asked for.
    windows, products, folder
        As of ``PropagationCollector``.
    """

    name: ClassVar[str] = "progression"

    def __init__(self, up_to: float = 0.7, *, windows: int | None = None, products: str = "auto",
                 folder: str | Path | None = None) -> None:
        path = path_below(up_to)
        super().__init__(points=path, windows=windows, products=products, folder=folder)
        self.points = (*(path[1:] if len(path) > 1 else path), path[-1])

    def turn(self, at: int) -> int:
        """The last two points share their windows."""
        return min(at, len(self.points) - 2)

    def onward(self, scene: Scene, rates: Floats, marginal: Floats, sizes: Floats, point: float
               ) -> Floats:
        """The progression of least damage."""
        block = np.array([target.block for target in scene.targets])
        step = least_damage_step(rates, marginal, sizes, block, point)
        return progression_rates(block, sizes, point, step)
