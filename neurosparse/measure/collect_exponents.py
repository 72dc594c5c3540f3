"""Evidence ``exponents``: finite-time Lyapunov exponents in depth, by JVP through the QR driver."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from neurosparse.errors import InputError, ModelError
from neurosparse.lyapunov.driver import Run, random_frame
from neurosparse.lyapunov.propagator import Propagator, State
from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.measure.replay import Replay

Array = NDArray[np.float64]


class DepthPropagator(Propagator):
    """Jacobians of the blocks along the dense trajectory of one window; a step is a block.

    Parameters
    ----------
    replay
        Of one window.
    """

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self.size = replay.states[0][0].numel()

    def advance(self, steps: int) -> None:
        """The trajectory is known: only the place moves."""
        self.time += steps
        self.ended = self.time >= self._replay.walk.n_blocks

    def carry(self, frame: Array, steps: int) -> Array:
        """Push the frame's columns through the next blocks."""
        for _ in range(steps):
            if self.ended:
                break
            index = int(self.time)
            state = self._replay.states[index][0]
            with self._replay.walk.block(index):
                columns = [self._push(index, state, column) for column in frame.T]
            frame = np.asfortranarray(np.stack(columns, axis=1))
            self.advance(1)
        return frame

    def _push(self, index: int, state: Tensor, column: Array) -> Array:
        tangent = torch.from_numpy(column.copy()).to(state.dtype).view_as(state)
        try:
            # Only the plain form of attention can be differentiated forward.
            with sdpa_kernel(SDPBackend.MATH):
                moved: Tensor = torch.func.jvp(
                    lambda hidden: self._replay.walk.run_on(index, hidden, 0),
                    (state,), (tangent,))[1]
        except (NotImplementedError, RuntimeError) as error:
            raise ModelError(f"differentiate block {index} forward",
                             found=str(error).strip().splitlines()[0],
                             expected="operations with a forward derivative") from error
        return moved.detach().double().cpu().numpy().ravel()

    def state(self) -> State:
        """The place in depth."""
        return {"time": self.time}

    def restore(self, state: State) -> None:
        """Go back there."""
        self.time = float(state["time"])
        self.ended = self.time >= self._replay.walk.n_blocks


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
        carrier = DepthPropagator(replay)
        run = Run(carrier, random_frame(carrier.size, self.k, self.seed), "householder")
        logs = np.zeros((replay.walk.n_blocks, self.k))
        for index in range(len(logs)):
            logs[index] = run.factor(1)[0]
            scene.progress("exponents in depth", index + 1, len(logs))
        return {"logs": logs, "exponents": logs.mean(axis=0)}
