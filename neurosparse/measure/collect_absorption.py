"""Evidence ``absorption``: what a perturbation of a block's output has become at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from neurosparse.errors import InputError
from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.models import BlockWalk


class AbsorptionCollector(Collector):
    """Growth of random perturbations from each block to the last (arXiv 2606.15161).

    The output of block l is moved by Gaussian noise of a given size relative to it, token by
    token; ``log_growth = ln mean(R_L / R_l)`` with R the relative distance to the unperturbed
    hidden state, mean over tokens. Arrays ``sizes``, and ``log_growth`` of shape (sizes, blocks);
    zero for the last block.

    Parameters
    ----------
    sizes
        Relative sizes of the perturbation.
    windows
        Calibration windows that are followed.
    seed
        Of the noise.

    Raises
    ------
    InputError
        No size, or one that is not positive; no window.
    """

    name: ClassVar[str] = "absorption"

    def __init__(self, sizes: Sequence[float] = (0.01, 0.1), *, windows: int = 2, seed: int = 0
                 ) -> None:
        if not sizes or any(not size > 0 for size in sizes) or windows < 1:
            raise InputError("profile", found=f"sizes {list(sizes)}, {windows} windows",
                             expected="positive sizes, at least one window")
        self._sizes, self._windows, self._seed = list(sizes), windows, seed

    def passes(self, blocks: int, windows: int) -> float:
        """One pass, and half a pass for every block and size."""
        share = min(self._windows, windows) / windows
        return share * (1 + len(self._sizes) * (blocks - 1) / 2)

    def finish(self, scene: Scene) -> Arrays:
        """Carry the dense state and all perturbed copies through the blocks once."""
        walk = BlockWalk(scene.model, scene.tokens[: self._windows], batch_size=self._windows)
        noise = torch.Generator().manual_seed(self._seed)
        dense = walk.hidden(0)
        copies: list[Tensor] = []
        with torch.no_grad():
            for index in range(walk.n_blocks):
                with walk.block(index):
                    dense = walk.run_on(index, dense, 0).cpu()
                    copies = [walk.run_on(index, copy, 0).cpu() for copy in copies]
                for size in self._sizes:
                    step = torch.randn(dense.shape, generator=noise).to(dense.dtype)
                    scale = size * dense.norm(dim=-1) / step.norm(dim=-1)
                    copies.append(dense + step * scale[..., None])
                scene.progress("absorption", index + 1, walk.n_blocks)
            length = dense.double().norm(dim=-1)
            ends = [float(((copy - dense).double().norm(dim=-1) / length).mean())
                    for copy in copies]
        sizes = np.array(self._sizes)
        growth = np.log(np.array(ends).reshape(walk.n_blocks, len(sizes)) / sizes)
        return {"sizes": sizes, "log_growth": growth.T}
