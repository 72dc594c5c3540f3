"""Dense hidden states of a few windows, and what a change at one block does to the output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurosparse.measure.divergence import divergence
from neurosparse.models import BlockWalk, predictions_of

# Logits of a piece, and the dense logits that are kept (1 GB) where every change is compared.
_LOGITS, _KEPT = 2**25, 2**28


class Replay:
    """The dense states before every block and after the last, of each window by itself.

    Parameters
    ----------
    model
        The dense model, in memory or streamed.
    tokens : int64 tensor of shape (windows, length)

    Attributes
    ----------
    walk
        One window a batch.
    states
        ``states[l][window]``: at the input of block l; ``states[blocks]``: after the last.
    """

    def __init__(self, model: nn.Module, tokens: Tensor) -> None:
        self.walk = BlockWalk(model, tokens, batch_size=1)
        self.states: list[list[Tensor]] = [self._now()]
        for index in range(self.walk.n_blocks):
            self.walk.run(index, keep=True)
            self.states.append(self._now())
        self._dense: dict[tuple[int, int], Tensor] = {}
        self._room = _KEPT

    def _now(self) -> list[Tensor]:
        return [self.walk.hidden(at).clone() for at in range(self.walk.n_batches)]

    def block(self, index: int, hidden: list[Tensor]) -> list[Tensor]:
        """Through one block, as its weights are now."""
        with torch.no_grad(), self.walk.block(index):
            return [self.walk.run_on(index, one, at).cpu() for at, one in enumerate(hidden)]

    def onwards(self, index: int, hidden: list[Tensor]) -> list[Tensor]:
        """Through block ``index`` and all that follow."""
        for at in range(index, self.walk.n_blocks):
            hidden = self.block(at, hidden)
        return hidden

    def nats(self, hidden: list[Tensor]) -> float:
        """Mean over tokens of KL(dense || these states), from states after the last block."""
        total = 0.0
        with torch.no_grad():
            for at, one in enumerate(hidden):
                for here in self.walk.pieces(at, _LOGITS):
                    found = self.walk.head(one[:, here], at, here.start)
                    total += divergence(self._wanted(at, here), found)
        return max(total, 0.0) / predictions_of(self.walk.tokens)

    def _wanted(self, at: int, here: slice) -> Tensor:
        """Logits of the dense model, kept as long as there is room."""
        key = (at, here.start)
        if key in self._dense:
            return self._dense[key]
        logits = self.walk.head(self.states[-1][at][:, here], at, here.start)
        if logits.numel() <= self._room:
            self._room -= logits.numel()
            self._dense[key] = logits
        return logits


def squared(hidden: list[Tensor]) -> float:
    """Sum of squares over all windows."""
    return sum(float(one.double().square().sum()) for one in hidden)


def difference(first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
    """``first - second``, window by window."""
    return [one - two for one, two in zip(first, second, strict=True)]
