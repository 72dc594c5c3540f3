"""What collectors share that take weights away by the profile's scores and look at the output."""

from __future__ import annotations

from neurosparse.errors import InputError
from neurosparse.measure.evidence import Collector, Scene
from neurosparse.measure.ranks import Ranks
from neurosparse.models import get_weight
from neurosparse.pruning import StatisticsByTarget, find_method


class RankedCollector(Collector):
    """Ranks every weight during the walk; a subclass uses them in ``finish``."""

    needs = frozenset({"inputs"})

    @property
    def ranks(self) -> Ranks:
        """Of all weights seen so far."""
        return self._ranks

    def begin(self, scene: Scene) -> None:
        """Somewhere for the ranks: on disk where the model's weights are."""
        self._ranks = Ranks(scene.walk.store, scene.walk.folder)

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Rank the weights of the block by the scores of the profile's method."""
        for target in scene.of_block(index):
            seen = statistics.get(target.name)
            blind = scene.method.needs_inputs and seen is None
            method = find_method("magnitude") if blind else scene.method
            self.ranks.put(target.name, method.scores(get_weight(scene.model, target), seen))


class RateCollector(RankedCollector):
    """Looks at the model with one share of every linear taken away.

    Parameters
    ----------
    rate
        The share.
    windows
        Calibration windows on which it looks.

    Raises
    ------
    InputError
        A rate outside (0, 1), or no window.
    """

    def __init__(self, rate: float = 0.5, *, windows: int = 2) -> None:
        if not 0 < rate < 1 or windows < 1:
            raise InputError(f"measure {self.name}", found=f"rate {rate!r}, {windows} windows",
                             expected="a rate in (0, 1) and at least one window")
        self.rate, self.windows = rate, windows

    def rates(self, scene: Scene) -> dict[str, float]:
        """The rate, for every target."""
        return {target.name: self.rate for target in scene.targets}
