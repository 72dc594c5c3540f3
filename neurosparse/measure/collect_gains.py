"""Evidence ``gains``: what the error of every block does on its way to the output."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurosparse.measure.damage import sparsified
from neurosparse.measure.evidence import Arrays, Scene
from neurosparse.measure.ranked import RateCollector
from neurosparse.measure.replay import Replay, difference, squared


class GainsCollector(RateCollector):
    """The terms of theory.md section 1, block by block, infinitesimal and at the real size.

    Block l pruned alone makes the error ``d_l`` on dense input; ``d_l`` times each of ``scales`` is
    put on the dense state after it and carried on by the dense blocks.

    Arrays, with blocks B and scales R: ``error`` (B,): ``|d_l|^2 / |x_l|^2``; ``nats`` (B, R): KL
    at the output; ``gain`` (B, R): ``nats / (scale^2 error)``; ``amplification`` (B, R): log growth
    of the perturbation of the block before, through this block (nan for the first): at the smallest
    scale a finite-time Lyapunov exponent along the real error; ``cross`` (B, B): cosine of the
    errors that arrive after the last block; ``together``, ``alone``: nats of all blocks pruned at
    once, and the sum of those pruned alone; ``rate``, ``scales``.

    Parameters
    ----------
    rate, windows
        Share taken away; calibration windows.
    scales
        Increasing, the last is 1: the real size.
    """

    name: ClassVar[str] = "gains"

    def __init__(self, rate: float = 0.5, *, windows: int = 2,
                 scales: tuple[float, ...] = (0.03, 1.0)) -> None:
        super().__init__(rate, windows=windows)
        self.scales = scales

    def passes(self, blocks: int, windows: int) -> float:
        """Each scale of each block through half of the blocks."""
        return (0.5 * len(self.scales) * blocks + 3) * min(self.windows, windows) / windows

    def finish(self, scene: Scene) -> Arrays:
        """Block after block; then all together."""
        replay, rates = Replay(scene.model, scene.tokens[: self.windows]), self.rates(scene)
        blocks, scales = replay.walk.n_blocks, len(self.scales)
        error, nats = np.zeros(blocks), np.zeros((blocks, scales))
        growth = np.full((blocks, scales), np.nan)
        arrived: list[list[Tensor]] = []
        sparse = replay.states[0]
        for index in range(blocks):
            dense = replay.states[index + 1]
            with replay.walk.block(index), \
                    sparsified(scene.model, scene.of_block(index), self.ranks, rates):
                made = difference(replay.block(index, replay.states[index]), dense)
                sparse = replay.block(index, sparse)
            size = squared(made)
            error[index] = size / squared(dense)
            for at, scale in enumerate(self.scales):
                hidden = [state + scale * one for state, one in zip(dense, made, strict=True)]
                if index + 1 < blocks:
                    hidden = replay.block(index + 1, hidden)
                    after = squared(difference(hidden, replay.states[index + 2]))
                    growth[index + 1, at] = _half_log(after, scale**2 * size)
                    hidden = replay.onwards(index + 2, hidden)
                nats[index, at] = replay.nats(hidden)
            arrived.append(difference(hidden, replay.states[-1]))
            scene.progress("gains", index + 1, blocks)
        scaled = np.array(self.scales) ** 2 * error[:, None]
        gain = np.divide(nats, scaled, out=np.full_like(nats, np.nan), where=scaled > 0)
        return {"error": error, "nats": nats, "gain": gain, "amplification": growth,
                "cross": _cosines(arrived), "together": np.array(replay.nats(sparse)),
                "alone": np.array(nats[:, -1].sum()), "rate": np.array(self.rate),
                "scales": np.array(self.scales)}


def _half_log(after: float, before: float) -> float:
    return float(0.5 * np.log(after / before)) if after > 0 and before > 0 else float("nan")


def _cosines(errors: list[list[Tensor]]) -> NDArray[np.float64]:
    rows = torch.stack([torch.cat([one.flatten() for one in parts]) for parts in errors]).float()
    gram = (rows @ rows.T).double().numpy()
    norm = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    found: NDArray[np.float64] = gram / norm / norm[:, None]
    return found
