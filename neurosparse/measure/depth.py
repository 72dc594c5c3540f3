"""Error through depth: the hidden state of the sparse model against that of the dense one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from neurosparse.models import BlockWalk


class DepthErrors:
    """An observer of ``pruning.prune`` that carries the dense model's hidden states along.

    Parameters
    ----------
    batches
        Calibration batches to follow; one more forward pass of them is the whole cost.
    """

    def __init__(self, batches: int = 1) -> None:
        self._wanted = batches
        self._dense: dict[int, torch.Tensor] = {}
        self._errors: list[float] = []

    def before(self, index: int, walk: BlockWalk) -> None:
        """Pass the dense hidden states through the still dense block."""
        for batch in range(min(self._wanted, walk.n_batches)):
            # Before the first block the pruned prefix is empty: its states are the dense ones.
            hidden = self._dense[batch] if index else walk.hidden(batch)
            self._dense[batch] = walk.run_on(index, hidden, batch)

    def after(self, index: int, walk: BlockWalk) -> None:
        """Compare them with those of the pruned prefix."""
        error = signal = 0.0
        for batch, dense in self._dense.items():
            sparse = walk.hidden(batch).to(dense.device)
            error += float((sparse - dense).double().square().sum())
            signal += float(dense.double().square().sum())
        self._errors.append(error / signal if signal else 0.0)

    @property
    def relative_error(self) -> NDArray[np.float64]:
        """``|y_l - x_l|^2 / |x_l|^2`` after each block, array of shape (blocks,)."""
        return np.array(self._errors)
