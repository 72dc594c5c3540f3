"""Evidence made of the weights' scores: ``owl``, ``dlp``, ``scores``; and ``shapes``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch

from neurosparse.errors import InputError
from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.models import Target, get_weight
from neurosparse.pruning import Method, StatisticsByTarget, find_method

_QUANTILES = 257


def _scores(scene: Scene, index: int, statistics: StatisticsByTarget, method: Method
            ) -> dict[str, torch.Tensor]:
    """Scores of the block's targets, flat; without those that no token reached."""
    found = {}
    for target in scene.of_block(index):
        seen = statistics.get(target.name)
        if seen is not None or not method.needs_inputs:
            found[target.name] = method.scores(get_weight(scene.model, target), seen).flatten()
    return found


def _table(targets: Sequence[Target], rows: dict[str, list[float]], width: int
           ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    nothing = [float("nan")] * width
    return np.array([rows.get(target.name, nothing) for target in targets])


class OwlCollector(Collector):
    """Shares of Wanda scores above multiples of their mean (OWL, arXiv 2310.05175, equation 1).

    Arrays ``multiples``; ``block`` and ``linear`` of shape (targets, multiples): above a multiple
    of the mean score of the whole block, or of the linear.

    Raises
    ------
    InputError
        No multiple, or one that is not positive.
    """

    name: ClassVar[str] = "owl"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})

    def __init__(self, multiples: Sequence[float] = (3.0, 5.0, 7.0, 10.0)) -> None:
        if not multiples or any(not multiple > 0 for multiple in multiples):
            raise InputError("profile", found=f"multiples {list(multiples)}",
                             expected="positive numbers")
        self._multiples = list(multiples)
        self._rows: dict[str, dict[str, list[float]]] = {"block": {}, "linear": {}}

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Count the scores of the block's linears."""
        found = _scores(scene, index, statistics, find_method("wanda"))
        count = sum(len(one) for one in found.values())
        whole = sum(float(one.sum(dtype=torch.float64)) for one in found.values()) / max(count, 1)
        for name, one in found.items():
            own = float(one.mean(dtype=torch.float64))
            for kind, mean in (("block", whole), ("linear", own)):
                self._rows[kind][name] = [
                    float((one > multiple * mean).double().mean()) for multiple in self._multiples]

    def finish(self, scene: Scene) -> Arrays:
        """The shares."""
        return {"multiples": np.array(self._multiples, float),
                **{kind: _table(scene.targets, rows, len(self._multiples))
                   for kind, rows in self._rows.items()}}


class DlpCollector(Collector):
    """Median and mean Wanda score of every block and linear (DLP, arXiv 2505.23807).

    Arrays ``block_median``, ``block_mean``, ``linear_median``, ``linear_mean``, shape (targets,).
    """

    name: ClassVar[str] = "dlp"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})

    def __init__(self) -> None:
        self._rows: dict[str, list[float]] = {}

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Summarise the scores of the block and of its linears."""
        found = _scores(scene, index, statistics, find_method("wanda"))
        if not found:
            return
        together = torch.cat([one.cpu() for one in found.values()])
        whole = [float(together.median()), float(together.mean(dtype=torch.float64))]
        for name, one in found.items():
            self._rows[name] = [*whole, float(one.median()), float(one.mean(dtype=torch.float64))]

    def finish(self, scene: Scene) -> Arrays:
        """The four columns."""
        table = _table(scene.targets, self._rows, 4)
        names = ("block_median", "block_mean", "linear_median", "linear_mean")
        return {name: table[:, at] for at, name in enumerate(names)}


class ScoresCollector(Collector):
    """Quantiles of every target's scores, by the profile's method, for one global threshold.

    Arrays ``levels`` (257 from 0 to 1) and ``quantiles`` of shape (targets, levels).
    """

    name: ClassVar[str] = "scores"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})

    def __init__(self) -> None:
        self._rows: dict[str, list[float]] = {}

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Sort the scores."""
        for name, one in _scores(scene, index, statistics, scene.method).items():
            ordered = one.float().sort().values
            at = torch.linspace(0, len(ordered) - 1, _QUANTILES, dtype=torch.float64).round().long()
            self._rows[name] = ordered[at.to(ordered.device)].double().tolist()

    def finish(self, scene: Scene) -> Arrays:
        """The quantiles."""
        return {"levels": np.linspace(0.0, 1.0, _QUANTILES),
                "quantiles": _table(scene.targets, self._rows, _QUANTILES)}


class ShapesCollector(Collector):
    """Rows and columns of every target: arrays ``out`` and ``in``. Costs nothing."""

    name: ClassVar[str] = "shapes"

    def finish(self, scene: Scene) -> Arrays:
        """The shapes."""
        return {"out": np.array([target.shape[0] for target in scene.targets], float),
                "in": np.array([target.shape[1] for target in scene.targets], float)}
