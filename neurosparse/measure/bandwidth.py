"""How fast this machine reads memory just now, and which of its modes that is.

A step of decoding is bound by the memory that it reads, and on many machines the speed of memory
flips between modes within seconds. A ratio of two speeds means something only within one mode.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence

import torch

from neurosparse.models.placement import settle

# Readings further apart than this are two modes, not the noise of one.
_APART = 1.35


class ReadProbe:
    """A plain sum over a buffer that no cache holds, by torch's threads.

    Parameters
    ----------
    nbytes
        Of the buffer.
    device
        Whose memory is read.
    """

    def __init__(self, nbytes: int = 256 << 20, *, device: str | torch.device = "cpu") -> None:
        self._block = torch.ones(max(nbytes // 4, 1), device=device)
        self.read()

    def read(self) -> float:
        """Bytes a second: the fastest of three passes."""
        best = math.inf
        for _ in range(3):
            begin = time.perf_counter()
            settle(self._block.sum())
            best = min(best, time.perf_counter() - begin)
        return self._block.nbytes / best


def mode_edge(readings: Sequence[float]) -> float | None:
    """Bytes a second between the modes, or None where all readings are of one.

    The readings are parted at their widest gap (in ratio) that leaves at least two of them, and a
    tenth, on either side; the parts are two modes if their medians are 1.35 times apart.
    """
    ordered = sorted(readings)
    least = max(2, -(-len(ordered) // 10))
    places = range(least, len(ordered) - least + 1)
    if not places:
        return None
    place = max(places, key=lambda at: ordered[at] / ordered[at - 1])
    if statistics.median(ordered[place:]) < _APART * statistics.median(ordered[:place]):
        return None
    return math.sqrt(ordered[place - 1] * ordered[place])


def mode_of(readings: Sequence[float], edge: float | None) -> str | None:
    """``"one"``, ``"narrow"`` or ``"wide"``; None where the readings are not all of one mode."""
    if edge is None:
        return "one"
    sides = {reading > edge for reading in readings}
    return None if len(sides) > 1 else "wide" if sides.pop() else "narrow"
