"""How fast this machine reads memory just now, and which of its modes that is.

A step of decoding is bound by the memory that it reads, and on many machines the speed of memory
flips between modes within seconds. A ratio of two speeds means something only within one mode.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise

import torch

from neurosparse.measure.timing import settle

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

    Two modes are told apart where the fastest reading is 1.35 times the slowest: at the geometric
    mean of the two neighbours that lie furthest apart.
    """
    ordered = sorted(readings)
    if not ordered or ordered[-1] < _APART * ordered[0]:
        return None
    _, low, high = max((high / low, low, high)
                       for low, high in pairwise(ordered))
    return math.sqrt(low * high)


def mode_of(readings: Sequence[float], edge: float | None) -> str | None:
    """``"one"``, ``"narrow"`` or ``"wide"``; None where the readings are not all of one mode."""
    if edge is None:
        return "one"
    sides = {reading > edge for reading in readings}
    return None if len(sides) > 1 else "wide" if sides.pop() else "narrow"
