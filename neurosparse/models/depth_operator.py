"""The torch operator for the QR driver: Jacobians of the blocks, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from neurosparse.errors import ModelError
from neurosparse.lyapunov.propagator import Propagator, State
from neurosparse.models.walk import BlockWalk

Array = NDArray[np.float64]


class DepthPropagator(Propagator):
    """Jacobians of the blocks along the dense trajectory of one window; a step is a block.

    Parameters
    ----------
    walk
        Of one window.
    states
        The dense hidden state at the input of every block.
    """

    def __init__(self, walk: BlockWalk, states: Sequence[Tensor]) -> None:
        self._walk, self._states = walk, states
        self.size = states[0].numel()

    def advance(self, steps: int) -> None:
        """The trajectory is known: only the place moves."""
        self.time += steps
        self.ended = self.time >= self._walk.n_blocks

    def carry(self, frame: Array, steps: int) -> Array:
        """Push the frame's columns through the next blocks."""
        for _ in range(steps):
            if self.ended:
                break
            index = int(self.time)
            state = self._states[index]
            with self._walk.block(index):
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
                    lambda hidden: self._walk.run_on(index, hidden, 0),
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
        self.ended = self.time >= self._walk.n_blocks
