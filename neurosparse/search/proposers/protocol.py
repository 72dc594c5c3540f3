"""What a proposer is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Proposer(Protocol):
    """Something that says what to evaluate next.

    What it asks is a function of its seed and of what it was told, so that a search which was
    killed can go on: a fresh proposer is told what the archive holds. In particular nothing may
    depend on how often ``ask`` was called.

    Attributes
    ----------
    name
        As the command line calls it.
    batch
        How many it likes to be asked for at a time.
    """

    name: str
    batch: int

    @property
    def told(self) -> int:
        """How many values it was told."""

    def identity(self) -> dict[str, Any]:
        """Name, seed and options: JSON that tells one run of an archive from another."""

    def ask(self, count: int) -> list[Floats]:
        """At most ``count`` configurations; none when it has nothing more to ask."""

    def tell(self, configuration: Floats, value: float) -> None:
        """What one of them gave; infinite where it failed."""

    def notes(self) -> dict[str, Any]:
        """JSON about the last ``ask``, kept in the archive beside it."""

    def recall(self, notes: dict[str, Any]) -> None:
        """Take back the notes of a batch that the archive holds instead of an ``ask``."""
