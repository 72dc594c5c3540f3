"""The form that a collector of evidence fills: what it needs, what it costs, what it finds.

A rule that has to be measured names its evidence; a collector of that name measures it in the one
walk that ``measure.profile`` makes, and leaves its arrays in ``Profile.evidence[name]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurosparse.models import BlockWalk, Target
from neurosparse.progress import Progress
from neurosparse.pruning import Method, StatisticsByTarget

Arrays = dict[str, NDArray[np.float64]]

NEEDS = ("weights", "inputs", "gram", "hidden", "gradients")
"""What a collector may need: the weights alone; the sums of squares of every linear's dense
inputs; their Gram matrices; the hidden states between blocks; gradients."""


@dataclass(frozen=True)
class Scene:
    """What every collector of one profile looks at.

    Attributes
    ----------
    model, tokens, targets
        The dense model, the windows of shape (windows, length), the linears in order.
    walk
        At construction its hidden states are the inputs of the first block.
    method
        The pruning method of the profile, for collectors that use its scores.
    progress
        For collectors that do work of their own.
    """

    model: nn.Module
    tokens: torch.Tensor
    targets: Sequence[Target]
    walk: BlockWalk
    method: Method
    progress: Progress

    def of_block(self, index: int) -> list[Target]:
        """The targets of one block, in order."""
        return [target for target in self.targets if target.block == index]


class Collector:
    """One kind of evidence. A subclass sets ``name`` and ``needs`` and fills in what it uses.

    ``begin`` is called once before the walk, outside of inference mode; ``block`` once a block, in
    order, in inference mode with the block's dense weights present and the hidden states at its
    output; ``finish`` once at the end.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()

    def passes(self, blocks: int, windows: int) -> float:
        """Forward passes of all windows that this costs beyond the one walk that all share."""
        return 0.0

    def begin(self, scene: Scene) -> None:
        """Prepare, or measure what needs no walk."""

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """Look at one block; ``statistics`` are those of the dense inputs of its targets."""

    def finish(self, scene: Scene) -> Arrays:
        """The arrays of ``Profile.evidence[name]``, float64."""
        return {}


@dataclass(frozen=True)
class Cost:
    """What a profile will cost, in forward passes of its windows.

    Attributes
    ----------
    walk
        1 if any collector needs the walk through the blocks, else 0.
    extra
        Passes of each collector beyond it, by name.
    """

    walk: float
    extra: dict[str, float]

    @property
    def passes(self) -> float:
        """The sum."""
        return self.walk + sum(self.extra.values())

    def __str__(self) -> str:
        parts = [f"{name} {passes:.3g}" for name, passes in self.extra.items() if passes]
        rest = f" (one walk; {', '.join(parts)})" if parts else ""
        return f"{self.passes:.3g} forward passes of the windows{rest}"


def cost_of(collectors: Sequence[Collector], blocks: int, windows: int) -> Cost:
    """Add up what collectors cost, before anything runs."""
    walks = any(one.needs & {"inputs", "gram", "hidden"} for one in collectors)
    return Cost(1.0 if walks else 0.0,
                {one.name: one.passes(blocks, windows) for one in collectors})
