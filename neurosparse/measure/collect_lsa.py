"""Evidence ``lsa``: least linear reconstruction error of every linear at 50 %."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.models import get_weight
from neurosparse.pruning import StatisticsByTarget, lowest_by_row, masked_least_squares

_RATE, _DAMPING = 0.5, 0.01


class LsaCollector(Collector):
    """Error that is left when half of a linear's weights are gone and the others are solved anew.

    Array ``error`` (targets,): ``|X (V - W)^T|^2 / |X W^T|^2`` with V the least squares solution
    on the mask of the profile's method at 50 % (Yang et al., ICLR 2026, whose minimal linear
    reconstruction error this is). nan where no token reached an expert.
    """

    name: ClassVar[str] = "lsa"
    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    def __init__(self) -> None:
        self._errors: dict[str, float] = {}

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Solve the block's linears on their masks."""
        for target in scene.of_block(index):
            seen = statistics.get(target.name)
            if seen is None or seen.gram is None:
                continue
            weight = get_weight(scene.model, target).float()
            gram = seen.gram.to(weight.device).clone()
            level = _DAMPING * float(torch.diagonal(gram).mean())
            wanted = weight @ gram
            signal = float((wanted * weight).sum(dtype=torch.float64))
            if not signal > 0:
                continue
            torch.diagonal(gram).add_(level)
            mask = lowest_by_row(scene.method.scores(weight, seen), round(_RATE * weight.numel()))
            solved = masked_least_squares(gram, wanted + level * weight, mask, weight)
            error = solved - weight
            left = float(((error @ seen.gram.to(weight.device)) * error).sum(dtype=torch.float64))
            self._errors[target.name] = max(left, 0.0) / signal

    def finish(self, scene: Scene) -> Arrays:
        """The errors."""
        return {"error": np.array([self._errors.get(target.name, float("nan"))
                                   for target in scene.targets])}
