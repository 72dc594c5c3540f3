"""The QR driver: carries a frame through a propagator and keeps the logs of its growth.

It does not know whether the product runs over time or over layers. The exponents are the mean logs
of the diagonal of R (Benettin, Galgani, Giorgilli & Strelcyn 1980; Geist, Parlitz & Lauterborn
1990, where discrete QR came out best).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurosparse.lyapunov.blocklog import BlockLog
from neurosparse.lyapunov.orthogonalise import log_diagonal, orthonormalise
from neurosparse.lyapunov.propagator import Propagator

Array = NDArray[np.float64]

#: The spread of the frame between two orthonormalisations stays below this: the rounding error of
#: the last direction is then at most this times machine precision.
CONDITION = {"float64": 1e4, "float32": 1e2}
_LOUDEST = 60.0  # |log| of one direction over one interval, far from overflow in float32
_BATCH = 4096  # blocks in one compiled call


@dataclass
class Run:
    """A run in progress.

    Attributes
    ----------
    propagator, frame
        What carries, and the orthonormal frame [N, k].
    orthogonalise
        Name of the QR method.
    block_steps, qr_steps
        Steps in a block of the log, and between two QRs (divides ``block_steps``).
    adaptive
        Whether the driver may choose and shorten the QR interval.
    condition
        Spread that a frame may reach between two QRs where ``adaptive``.
    log, volume, time
        Block logs; integral of the trace (None if unknown); time measured.
    diverged, ended
        What went wrong, or that a finite sequence ended.
    """

    propagator: Propagator
    frame: Array
    orthogonalise: str
    block_steps: int = 1
    qr_steps: int = 1
    adaptive: bool = True
    condition: float = CONDITION["float64"]
    log: BlockLog = field(default_factory=lambda: BlockLog(0))
    volume: float | None = 0.0
    time: float = 0.0
    diverged: bool = False
    ended: bool = False
    _short: bool = False

    @property
    def block_time(self) -> float:
        """Time of one block of the driver."""
        return self.block_steps * self.propagator.unit

    @property
    def over(self) -> bool:
        """Whether there is nothing left to carry."""
        return self.diverged or self.ended

    def start(self) -> None:
        """Forget the volume of what came before; the log begins here."""
        self.log = BlockLog(self.frame.shape[1])
        self.propagator.volume()

    def warm_up(self, steps: int, longest: int) -> None:
        """Carry the frame ``steps`` steps, and learn the QR interval (at most ``longest`` steps).

        The interval doubles from one step while the spread that is expected of it stays allowed.
        """
        done, tried, rate = 0, self.qr_steps, 0.0
        while done < steps and not self.over:
            now = min(tried, steps - done)
            logs = self._once(now)
            done += now
            if self.over or not self.adaptive:
                continue
            # Older spreads fade: the first ones come from a random frame.
            rate = max(0.9 * rate, float(strain(logs)) / now)
            allowed = self._allowed(rate, longest)
            tried = min(2 * tried, allowed) if now == tried else tried
        if self.adaptive and done:
            chosen = max(1, min(tried, self._allowed(rate, longest)))
            # An even number can be halved later, should the frame be more strained than it was.
            multiple = 4 if chosen >= 8 else min(chosen, 2)
            self.block_steps = self.qr_steps = chosen // multiple * multiple

    def _once(self, steps: int) -> Array:
        """Carry and orthonormalise once, compiled where that can be."""
        found = self.propagator.blocks(self.frame, steps, 1)
        if found is None or not len(found[1]):
            return self.factor(steps)[0]
        self.frame, logs = found
        self.diverged = bool(np.isnan(logs).any())
        self.ended = self.propagator.ended
        once: Array = logs[0]
        return once

    def _allowed(self, rate: float, longest: int) -> int:
        """Steps that a frame whose spread grows at ``rate`` may go without a QR."""
        return max(1, min(longest, int(np.log(self.condition) / max(rate, 1e-12))))

    def go(self, blocks: int, stopped: Callable[[], bool] = lambda: False) -> None:
        """Carry ``blocks`` blocks and log them; stop early if the run is over or ``stopped``."""
        while blocks > 0 and not self.over and not stopped():
            batch = min(blocks, _BATCH)
            if not self._compiled(batch):
                self._block()
                batch = 1
            blocks -= batch

    def _compiled(self, blocks: int) -> bool:
        parts = self.block_steps // self.qr_steps
        found = self.propagator.blocks(self.frame, self.qr_steps, blocks * parts)
        if found is None:
            return False
        self.frame, logs = found
        bad = np.flatnonzero(np.isnan(logs).any(axis=1))
        if len(bad):
            self.diverged = True
            logs = logs[: bad[0] // parts * parts]
        whole = len(logs) // parts
        self._keep(logs[: whole * parts].reshape(whole, parts, logs.shape[1]).sum(axis=1))
        self._watch(logs)
        self.ended = self.propagator.ended
        return True

    def _block(self) -> None:
        parts = self.block_steps // self.qr_steps
        logs = np.zeros((parts, self.frame.shape[1]))
        for part in range(parts):
            logs[part] = self.factor(self.qr_steps)[0]
            # Only whole blocks count: a short one at the end would weigh as much as the others.
            if self.diverged or self._short or (self.ended and part < parts - 1):
                return
        self._keep(logs.sum(axis=0, keepdims=True))
        self._watch(logs)

    def _keep(self, logs: Array) -> None:
        self.log.add(logs)
        self.time += len(logs) * self.block_time
        more = self.propagator.volume()
        self.volume = None if more is None or self.volume is None else self.volume + more

    def _watch(self, logs: Array) -> None:
        """Halve the QR interval, not the block, if the frame was more strained than foreseen."""
        if not self.adaptive or self.qr_steps % 2 or not len(logs):
            return
        if float(strain(logs).max()) > 2 * np.log(self.condition):
            self.qr_steps //= 2

    def factor(self, steps: int) -> tuple[Array, Array]:
        """Carry and orthonormalise once: logs [k] of the growth of each direction, and R [k, k]."""
        before = self.propagator.time
        self.frame = self.propagator.place(self.frame)
        frame = self.propagator.carry(self.frame, steps)
        self._short = self.propagator.time < before + (steps - 0.5) * self.propagator.unit
        self.ended = self.propagator.ended
        if not (self.propagator.finite() and np.isfinite(frame).all()):
            self.diverged = True
            self.frame = frame
            nothing = np.full(frame.shape[1], np.nan)
            return nothing, np.diag(nothing)
        self.frame, upper = orthonormalise(frame, self.orthogonalise)
        logs = log_diagonal(upper)
        lost = np.isneginf(logs)
        if lost.any():
            upper[lost, lost] = 1.0
        self.propagator.rescale(upper)
        return logs, upper


def strain(logs: Array) -> Array:
    """How far frames [..., k] were from a QR that they needed: spread of the logs, or their size.

    Infinite where a direction was lost.
    """
    highest, lowest = logs.max(axis=-1), logs.min(axis=-1)
    scale = float(np.log(CONDITION["float64"])) / _LOUDEST
    loudest = np.maximum(np.abs(highest), np.abs(lowest)) * scale
    with np.errstate(invalid="ignore"):
        spread = np.where(np.isfinite(lowest), highest - lowest, np.inf)
    found: Array = np.maximum(spread, loudest)
    return found


def random_frame(size: int, k: int, seed: int) -> Array:
    """Random orthonormal frame [N, k], Fortran order, uniformly distributed."""
    draw = np.random.default_rng([seed, 0xF4A]).standard_normal((k, size)).T
    return orthonormalise(draw)[0]
