"""How far each block of the sparse model is from the dense one: what LoSA gives ranks by."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurosparse.adaptation.distillation import channel_error
from neurosparse.models import BlockWalk

Floats = NDArray[np.float64]


def dense_outputs(model: nn.Module, tokens: Tensor, *, batch_size: int = 8,
                  dtype: torch.dtype | None = None) -> list[list[Tensor]]:
    """Outputs of every block of the dense model, batch by batch, on the CPU.

    Memory: windows x length x width x 4 bytes a block.
    """
    walk = BlockWalk(model, tokens, batch_size=batch_size, dtype=dtype)
    found = []
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
        found.append([walk.hidden(batch).clone() for batch in range(walk.n_batches)])
    return found


def relative_error(dense: Tensor, sparse: Tensor) -> float:
    """``mean_c |Y_c - Y'_c|^2 / |Y_c|^2`` over channels c (LoSA's layer reconstruction error).

    0 without pruning, 1 where the output is zero, the same for any scale of a channel; channels
    that are zero in the dense model do not count.

    Parameters
    ----------
    dense, sparse : tensors of shape (..., channels)
    """
    return float(channel_error(dense.double(), sparse.double()))


class BlockErrors:
    """An observer of ``pruning.prune``: relative errors of the blocks, through the sparse prefix.

    Parameters
    ----------
    dense
        From ``dense_outputs`` on the first windows of the pruning's calibration text, in the same
        batches.
    """

    def __init__(self, dense: list[list[Tensor]]) -> None:
        self._dense = dense
        self._found: list[float] = []

    def before(self, index: int, walk: BlockWalk) -> None:
        """Nothing."""

    def after(self, index: int, walk: BlockWalk) -> None:
        """Compare the block's output."""
        pairs = [(there, walk.hidden(batch)) for batch, there in enumerate(self._dense[index])]
        self._found.append(relative_error(torch.cat([a.flatten(0, 1) for a, _ in pairs]),
                                          torch.cat([b.flatten(0, 1) for _, b in pairs])))

    @property
    def errors(self) -> Floats:
        """Array of shape (blocks,)."""
        return np.array(self._found)
