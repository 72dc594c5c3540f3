"""Evidence ``representation``: how alike the hidden states between blocks are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.pruning import StatisticsByTarget

Floats = NDArray[np.float64]


def normalised_hsic(grams: Floats) -> Floats:
    """Linear CKA between representations, from their Gram matrices (papers.md section 3).

    Parameters
    ----------
    grams : array of shape (representations, windows, windows)
        ``F F^T``.

    Returns
    -------
    table : array of shape (representations, representations)
        In [0, 1]; zero where a representation is the same for all windows.
    """
    windows = grams.shape[1]
    centre = np.eye(windows) - 1.0 / windows
    flat = (centre @ grams @ centre).reshape(len(grams), -1)
    norm = np.linalg.norm(flat, axis=1)
    # What is left of a constant after centring is rounding, not structure.
    flat = np.where((norm > 1e-9 * np.linalg.norm(grams, axis=(1, 2)))[:, None], flat, 0.0)
    scale = np.where(norm > 0, norm, 1.0)
    return np.asarray((flat @ flat.T) / np.outer(scale, scale), float)


class RepresentationCollector(Collector):
    """Representation mutual information between block inputs (LoSA, arXiv 2502.14816).

    Arrays ``tokens`` (all tokens and channels of a window are its features, as published) and
    ``pooled`` (mean over its tokens), shape (blocks + 1, blocks + 1): the last row is the output
    of the last block.
    """

    name: ClassVar[str] = "representation"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden"})

    def __init__(self) -> None:
        self._grams: dict[str, list[Floats]] = {"tokens": [], "pooled": []}

    def begin(self, scene: Scene) -> None:
        """The input of the first block."""
        self._look(scene)

    def block(self, scene: Scene, index: int, statistics: StatisticsByTarget) -> None:
        """The output of this one, which is the input of the next."""
        self._look(scene)

    def _look(self, scene: Scene) -> None:
        states = [scene.walk.hidden(batch) for batch in range(scene.walk.n_batches)]
        flat = torch.cat([state.flatten(1) for state in states]).double()
        pooled = torch.cat([state.double().mean(1) for state in states])
        for kind, features in (("tokens", flat), ("pooled", pooled)):
            self._grams[kind].append((features @ features.T).cpu().numpy())

    def finish(self, scene: Scene) -> Arrays:
        """The two tables."""
        return {kind: normalised_hsic(np.stack(grams)) for kind, grams in self._grams.items()}
