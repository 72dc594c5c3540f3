"""Block logs in bounded memory: when the store is full, neighbours are merged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def most_blocks(k: int) -> int:
    """How many blocks of k logs are kept: 4096, or as many as fit in 2 MiB (but at least 256)."""
    if k <= 64:
        return 4096
    return max(256, 1 << int(np.log2(2**18 / k)))


@dataclass
class BlockLog:
    """Log growth of k directions over successive blocks.

    Attributes
    ----------
    k
        Directions.
    merged
        How many blocks of the driver one stored row holds, a power of two.
    rows
        [m, k] sums of logs, one row a stored block.
    rest, rested
        Logs [k] of the blocks at the end that do not fill a row, and their number.
    total, count
        Sum [k] and number of all blocks of the driver.
    """

    k: int
    merged: int = 1
    rest: Array = field(default_factory=lambda: np.zeros(0))
    rested: int = 0
    total: Array = field(default_factory=lambda: np.zeros(0))
    count: int = 0
    _store: Array = field(default_factory=lambda: np.zeros((0, 0)))
    _used: int = 0

    def __post_init__(self) -> None:
        if self._store.shape[1:] != (self.k,):
            self._store = np.zeros((min(64, most_blocks(self.k)), self.k))
            self.rest = np.zeros(self.k)
            self.total = np.zeros(self.k)

    @property
    def rows(self) -> Array:
        """[m, k], a copy."""
        return self._store[: self._used].copy()

    def add(self, logs: Array) -> None:
        """Add the logs [b, k] of successive blocks."""
        self.total = self.total + logs.sum(axis=0)
        self.count += len(logs)
        while len(logs):
            whole = min(len(logs) // self.merged, most_blocks(self.k) - self._used)
            if self.rested == 0 and whole > 0:
                used = whole * self.merged
                self._append(logs[:used].reshape(whole, self.merged, self.k).sum(axis=1))
            else:
                used = min(self.merged - self.rested, len(logs))
                self.rest = self.rest + logs[:used].sum(axis=0)
                self.rested += used
            logs = logs[used:]
            if self.rested == self.merged:
                self._close_row()

    def _close_row(self) -> None:
        """Store ``rest``, or, if the store is full, halve it: ``rest`` is then half a row."""
        limit = most_blocks(self.k)
        if self._used < limit:
            self._append(self.rest[None])
            self.rest = np.zeros(self.k)
            self.rested = 0
            return
        pairs = self._store.reshape(limit // 2, 2, self.k)
        self._store[: limit // 2] = pairs[:, 0] + pairs[:, 1]
        self._used = limit // 2
        self.merged *= 2

    def _append(self, rows: Array) -> None:
        needed = self._used + len(rows)
        while len(self._store) < needed:
            self._store = np.vstack([self._store, np.zeros_like(self._store)])
        self._store[self._used : needed] = rows
        self._used = needed

    def copy(self) -> BlockLog:
        """An independent copy, to go on from."""
        return BlockLog.rebuild(
            self.rows, self.merged, self.rest, self.rested, self.total, self.count
        )

    @classmethod
    def rebuild(
        cls, rows: Array, merged: int, rest: Array, rested: int, total: Array, count: int
    ) -> BlockLog:
        """From what was stored."""
        k = rows.shape[1]
        store = np.zeros((most_blocks(k), k))
        store[: len(rows)] = rows
        return cls(
            k, merged, np.array(rest), int(rested), np.array(total), int(count), store, len(rows)
        )
