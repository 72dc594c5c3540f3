"""What may look on, and what may keep, while a model is pruned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import nn

from neurosparse.models import BlockWalk, Target


class Observer(Protocol):
    """Sees every block before and after; its weights are present both times."""

    def before(self, index: int, walk: BlockWalk) -> None:
        """The block is dense; the hidden states are those of the pruned prefix."""
        ...

    def after(self, index: int, walk: BlockWalk) -> None:
        """The block is pruned and the hidden states have passed through it."""
        ...


class Keeper(Protocol):
    """Keeps finished blocks, so that work that was cut off goes on after the last of them."""

    def has(self, index: int) -> bool:
        """Whether the block was finished before."""
        ...

    def put_back(self, index: int, block: nn.Module, targets: Sequence[Target]) -> BlockReport:
        """Set the block's weights to the finished ones, bit for bit."""
        ...

    def keep(self, index: int, block: nn.Module, targets: Sequence[Target],
             report: BlockReport) -> None:
        """Store the finished block, whole or not at all."""
        ...


class BlockReport(dict[str, int]):
    """Zeros by target name in one block, with notes on what was done otherwise."""

    def __init__(self, dropped: dict[str, int], notes: Sequence[str] = ()) -> None:
        super().__init__(dropped)
        self.notes = list(notes)
