"""Evidence ``spectra``: tail exponents of every linear's spectrum."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from neurosparse.budgets.heavy_tail import TAILS, tail_exponent
from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.models import get_weight
from neurosparse.pruning import StatisticsByTarget


class SpectraCollector(Collector):
    """Tail exponents of the eigenvalues of ``W^T W`` (AlphaPruning, arXiv 2410.10912).

    Arrays ``peak`` and ``median`` of shape (targets,), by where the tail begins; nan for a matrix
    with fewer than two positive eigenvalues. Looks at weights only.
    """

    name: ClassVar[str] = "spectra"

    def __init__(self) -> None:
        self._found: dict[str, list[float]] = {}

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Eigenvalues of the smaller Gram matrix, in float64."""
        for target in scene.of_block(index):
            weight = get_weight(scene.model, target).detach().double()
            small = weight if weight.shape[0] <= weight.shape[1] else weight.T
            values = torch.linalg.eigvalsh(small @ small.T).cpu().numpy()
            enough = int((values > 1e-12 * max(float(values[-1]), 0.0)).sum()) >= 2
            self._found[target.name] = [
                tail_exponent(values, tail) if enough else float("nan") for tail in TAILS]

    def finish(self, scene: Scene) -> Arrays:
        """The exponents."""
        table = np.array([self._found[target.name] for target in scene.targets])
        return {tail: table[:, at] for at, tail in enumerate(TAILS)}
