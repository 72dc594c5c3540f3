"""Evidence ``exponents``: finite-time Lyapunov exponents in depth, by JVP through the QR driver."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from neurosparse.errors import InputError
from neurosparse.lyapunov.driver import Run, random_frame
from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.measure.replay import Replay
from neurosparse.models import DepthPropagator


class ExponentsCollector(Collector):
    """Leading k finite-time exponents of the product of the blocks' Jacobians.

    One window's first tokens, all positions together: the tangent space has tokens x width
    dimensions, of which a random orthonormal frame of k is carried. Arrays ``logs`` (blocks, k):
    growth of each direction in each block; ``exponents`` (k,): their mean over blocks. Early
    blocks also turn the random frame: the first exponents converge from below.

    Parameters
    ----------
    k
        Directions.
    tokens
        Of the first window.
    seed
        Of the frame.

    Raises
    ------
    InputError
        No direction or no token.
    """

    name: ClassVar[str] = "exponents"

    def __init__(self, k: int = 4, *, tokens: int = 64, seed: int = 0) -> None:
        if k < 1 or tokens < 1:
            raise InputError("measure exponents", found=f"k={k}, tokens={tokens}",
                             expected="at least one of each")
        self.k, self.tokens, self.seed = k, tokens, seed

    def passes(self, blocks: int, windows: int) -> float:
        """About two forward passes a direction of a part of one window (of 512 tokens)."""
        return (2.0 * self.k + 1) * self.tokens / 512 / windows

    def finish(self, scene: Scene) -> Arrays:
        """Block after block through the QR driver of the recurrent networks."""
        replay = Replay(scene.model, scene.tokens[:1, : self.tokens])
        carrier = DepthPropagator(replay.walk, [state[0] for state in replay.states])
        run = Run(carrier, random_frame(carrier.size, self.k, self.seed), "householder")
        logs = np.zeros((replay.walk.n_blocks, self.k))
        for index in range(len(logs)):
            logs[index] = run.factor(1)[0]
            scene.progress("exponents in depth", index + 1, len(logs))
        return {"logs": logs, "exponents": logs.mean(axis=0)}
