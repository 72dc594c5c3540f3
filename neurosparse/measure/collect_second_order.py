"""Evidence ``second-order``: predicted damage of every linear alone, from one backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from neurosparse.measure.evidence import Arrays, Scene
from neurosparse.measure.ranked import RateCollector
from neurosparse.measure.replay import Replay
from neurosparse.models import Target, get_weight

# Positions of a window whose logits are made at once.
_PIECE = 128


class SecondOrderCollector(RateCollector):
    """Second-order estimate of the damage that ``single`` measures (theory.md section 1).

    With u the gradient, at a linear's output, of the log-likelihood of labels drawn from the model
    and d the linear's own output error: ``sequence`` is ``1/2 E (sum_t u_t . d_t)^2``, ``token``
    is ``1/2 E sum_t (u_t . d_t)^2``, nats a token, arrays of shape (targets,); nan for experts.
    Labels are drawn ``draws`` times by ``random`` seed 0.

    Parameters
    ----------
    rate, windows
        As in ``single``.
    draws
        Of labels: each costs one backward pass.
    """

    name: ClassVar[str] = "second-order"

    def __init__(self, rate: float = 0.5, *, windows: int = 8, draws: int = 1) -> None:
        super().__init__(rate, windows=windows)
        self.draws = draws

    def passes(self, blocks: int, windows: int) -> float:
        """Forward, and a backward with its own forward for every draw of labels."""
        return (1 + 3.0 * self.draws) * min(self.windows, windows) / windows

    def finish(self, scene: Scene) -> Arrays:
        """Forward once, back once a draw, block by block."""
        replay = Replay(scene.model, scene.tokens[: self.windows])
        generator = torch.Generator().manual_seed(0)
        sums = {target.name: np.zeros(2) for target in scene.targets if target.expert is None}
        blocks = replay.walk.n_blocks
        for draw in range(self.draws):
            back = [_likelihood_gradient(replay, at, generator)
                    for at in range(replay.walk.n_batches)]
            for index in reversed(range(blocks)):
                with replay.walk.block(index):
                    self._block(scene, replay, index, back, sums)
                scene.progress("second order", draw * blocks + blocks - index,
                               self.draws * blocks)
        tokens = replay.walk.tokens.numel() * self.draws
        nothing = np.full(2, np.nan)
        table = np.stack([sums.get(target.name, nothing) for target in scene.targets])
        table *= 0.5 / tokens
        return {"sequence": table[:, 0], "token": table[:, 1], "rate": np.array(self.rate)}

    def _block(self, scene: Scene, replay: Replay, index: int, back: list[Tensor],
               sums: dict[str, np.ndarray[Any, Any]]) -> None:
        mine = [target for target in scene.of_block(index) if target.expert is None]
        errors = {}
        for target in mine:
            weight = get_weight(scene.model, target)
            keep = self.ranks.keep(target.name, self.rate).to(weight.device)
            errors[target.name] = -weight.detach() * ~keep
        for at, state in enumerate(replay.states[index]):
            with torch.enable_grad(), _watched(scene.model, mine) as seen:
                x = state.detach().clone().requires_grad_()
                answer = replay.walk.run_on(index, x, at)
                names = list(seen)
                found = torch.autograd.grad(
                    answer, [x, *(seen[name][1] for name in names)],
                    back[at].to(answer.device, answer.dtype), allow_unused=True)
            back[at] = found[0]
            parts: list[Tensor | None] = list(found[1:])
            for name, u in zip(names, parts, strict=True):
                if u is None:
                    continue
                # (u . d) of every token, d = x E^T.
                inputs = seen[name][0].flatten(0, -2)
                product = ((u.flatten(0, -2) @ errors[name]) * inputs).sum(1).double()
                sums[name] += [float(product.sum()) ** 2, float(product.square().sum())]


@contextmanager
def _watched(model: nn.Module, targets: Sequence[Target]
             ) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Input and output of the targets' modules, the output in the graph, by name."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str) -> Any:
        def see(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = (args[0].detach(), output)
        return see

    handles = [model.get_submodule(target.module_name).register_forward_hook(hook(target.name))
               for target in targets]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _likelihood_gradient(replay: Replay, at: int, generator: torch.Generator) -> Tensor:
    """Gradient of the summed log-likelihood of drawn labels by the last hidden state."""
    hidden = replay.states[-1][at]
    gradient = torch.empty_like(hidden)
    for start in range(0, hidden.shape[1], _PIECE):
        here = slice(start, start + _PIECE)
        with torch.enable_grad():
            x = hidden[:, here].detach().clone().requires_grad_()
            likelihood = replay.walk.head(x, at, start).float().log_softmax(-1)[0]
            chances = likelihood.detach().exp().cpu()
            labels = torch.multinomial(chances, 1, generator=generator).to(likelihood.device)
            gradient[:, here] = torch.autograd.grad(likelihood.gather(1, labels).sum(), x)[0].cpu()
    return gradient
