"""Evidence ``single``: damage of every linear pruned alone, measured at the output."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from neurosparse.measure.damage import sparsified
from neurosparse.measure.evidence import Arrays, Scene
from neurosparse.measure.ranked import RateCollector
from neurosparse.measure.replay import Replay


class SingleCollector(RateCollector):
    """``KL(dense || one linear pruned)`` in nats a token, by forward passes.

    Every linear costs the blocks from its own to the last. Arrays ``nats`` of shape (targets,)
    and ``rate``.
    """

    name: ClassVar[str] = "single"

    def passes(self, blocks: int, windows: int) -> float:
        """About seven linears a block, each through half of the blocks."""
        return (3.5 * blocks + 1) * min(self.windows, windows) / windows

    def finish(self, scene: Scene) -> Arrays:
        """One linear after the other."""
        replay = Replay(scene.model, scene.tokens[: self.windows])
        rates = self.rates(scene)
        nats = np.zeros(len(scene.targets))
        for at, target in enumerate(scene.targets):
            with replay.walk.block(target.block), \
                    sparsified(scene.model, [target], self.ranks, rates):
                hidden = replay.block(target.block, replay.states[target.block])
            nats[at] = replay.nats(replay.onwards(target.block + 1, hidden))
            scene.progress("single linears", at + 1, len(nats))
        return {"nats": nats, "rate": np.array(self.rate)}
