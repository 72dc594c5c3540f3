"""Evidence ``fisher``: trace of the empirical Fisher matrix of every linear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from neurosparse.errors import InputError
from neurosparse.measure.damage import block_parameters
from neurosparse.measure.evidence import Arrays, Collector, Scene
from neurosparse.models import BlockWalk, Target


class FisherCollector(Collector):
    """Sum over a linear's weights of the squared gradient of a window's loss, mean over windows.

    The loss is the mean negative log-likelihood of the window's tokens. Array ``trace`` of shape
    (targets,); zero where no token reached an expert (MSP, arXiv 2503.11164).

    Parameters
    ----------
    windows
        Calibration windows whose gradients are taken, one by one.

    Raises
    ------
    InputError
        No window.
    """

    name: ClassVar[str] = "fisher"

    def __init__(self, windows: int = 8) -> None:
        if windows < 1:
            raise InputError("profile", found=f"{windows} windows", expected="at least one")
        self._windows = windows

    def passes(self, blocks: int, windows: int) -> float:
        """Forward, and backward with its own forward."""
        return 4.0 * min(self._windows, windows) / windows

    def finish(self, scene: Scene) -> Arrays:
        """One pass forward, one back, block by block."""
        walk = BlockWalk(scene.model, scene.tokens[: self._windows], batch_size=1)
        states: list[list[Tensor]] = []
        for index in range(walk.n_blocks):
            states.append([walk.hidden(batch).clone() for batch in range(walk.n_batches)])
            walk.run(index, keep=True)
            scene.progress("fisher", index + 1, 2 * walk.n_blocks)
        back = [_loss_gradient(walk, batch) for batch in range(walk.n_batches)]
        trace = {target.name: 0.0 for target in scene.targets}
        for index in reversed(range(walk.n_blocks)):
            with walk.block(index):
                _block(scene.model, walk, index, scene.of_block(index), states.pop(), back, trace)
            scene.progress("fisher", 2 * walk.n_blocks - index, 2 * walk.n_blocks)
        return {"trace": np.array([trace[target.name] for target in scene.targets])
                / walk.n_batches}


def _loss_gradient(walk: BlockWalk, batch: int) -> Tensor:
    with torch.enable_grad():
        x = walk.hidden(batch).clone().requires_grad_()
        logits = walk.head(x, batch)[0, :-1].float()
        labels = walk.tokens[batch, 1:].to(logits.device)
        return torch.autograd.grad(nn.functional.cross_entropy(logits, labels), x)[0]


def _block(model: nn.Module, walk: BlockWalk, index: int, targets: Sequence[Target],
           states: list[Tensor], back: list[Tensor], trace: dict[str, float]) -> None:
    """Add one block's squared gradients to ``trace``; ``back`` goes to the block's input."""
    with block_parameters(model, targets) as owners:
        for batch, state in enumerate(states):
            with torch.enable_grad():
                x = state.clone().requires_grad_()
                answer = walk.run_on(index, x, batch)
                found = torch.autograd.grad(
                    answer, [x, *owners.values()], back[batch].to(answer.device, answer.dtype),
                    allow_unused=True)
            back[batch] = found[0]
            parts = dict(zip(owners, found[1:], strict=True))
            for target in targets:
                part = parts[f"{target.module_name}.{target.parameter}"]
                if part is not None:
                    mine = part if target.expert is None else part[target.expert]
                    trace[target.name] += float(mine.double().square().sum())
