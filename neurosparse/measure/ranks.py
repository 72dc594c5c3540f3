"""Where every weight stands in its row: one byte a weight, from which masks of any rate follow."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

LEVELS = 256


def row_ranks(scores: Tensor) -> Tensor:
    """Rank of each score in its row in 256 equal parts, uint8 tensor of shape (out, in).

    The lowest scores of a row have the lowest ranks; ties by position.
    """
    order = torch.argsort(scores, dim=1, stable=True)
    columns = scores.shape[1]
    steps = (torch.arange(columns, device=scores.device) * LEVELS // columns).to(torch.uint8)
    return torch.empty_like(order, dtype=torch.uint8).scatter_(1, order, steps.expand_as(order))


class Ranks:
    """Ranks of all targets by name, in memory, on the device of the scores, or in one file each.

    Parameters
    ----------
    store
        ``"memory"``, ``"device"`` or ``"disk"``.
    folder
        For ``"disk"``; a temporary folder, which goes with this object, by default.
    """

    def __init__(self, store: str = "memory", folder: str | Path | None = None) -> None:
        self._known: dict[str, Tensor] = {}
        self._files: dict[str, Path] = {}
        self._folder: Path | None = None
        self._stays = store == "device"
        if store == "disk":
            self._folder = Path(tempfile.mkdtemp(prefix="neurosparse-ranks-", dir=folder))
            weakref.finalize(self, shutil.rmtree, self._folder, True)

    def put(self, name: str, scores: Tensor) -> None:
        """Rank the scores of a target, shape (out, in)."""
        ranks = row_ranks(scores)
        ranks = ranks if self._stays else ranks.cpu()
        if self._folder is None:
            self._known[name] = ranks
        else:
            self._files[name] = self._folder / f"{len(self._files):06d}.npy"
            np.save(self._files[name], ranks.numpy())

    def get(self, name: str) -> Tensor:
        """Its ranks, uint8 tensor of shape (out, in)."""
        if name in self._known:
            return self._known[name]
        return torch.from_numpy(np.load(self._files[name]))

    def keep(self, name: str, rate: float) -> Tensor:
        """Mask of the weights that stay at a rate (to 1/256)."""
        return self.get(name).to(torch.int16) >= round(rate * LEVELS)
