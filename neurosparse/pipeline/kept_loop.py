"""A loop that writes answer after answer: weights copied once, what prompts share read once."""

from __future__ import annotations

from typing import Any

import torch

from neurosparse.models.last_row import last_row
from neurosparse.sparse import Decoder, find_loop

_TAIL, _STEP = 24, 16
_PROBE = 8


class KeptLoop:
    """The fastest loop of a model, kept from one prompt to the next.

    Prompts of one batch of questions differ in their last line alone. All but the last 24 to 39
    tokens of a prompt are read at once by the model, and not again where the prompt before had the
    same; the rest goes token by token through the compiled loop. Where a prompt is parted depends
    on its length alone, so the same prompt has the same logits, bit for bit, whatever came before.

    Parameters
    ----------
    model
        Of transformers.
    positions
        Tokens of a prompt and its answer at most.
    """

    def __init__(self, model: Any, positions: int) -> None:
        self.model, self.positions = model, positions
        self._loop = find_loop(model, positions)
        self.about = self._loop.about
        self._head = torch.empty(0, dtype=torch.int64)
        self._probe = self._logits() if isinstance(self._loop, Decoder) else None

    def current(self) -> bool:
        """Whether the model still answers as the one whose weights were copied."""
        return self._probe is None or torch.equal(self._probe, self._logits())

    def prefill(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (vocabulary,) after a prompt (1, length)."""
        cut = (tokens.shape[1] - _TAIL) // _STEP * _STEP
        if not isinstance(self._loop, Decoder) or cut < 1:
            self._head = self._head[:0]
            return self._loop.prefill(tokens)
        head, tail = tokens[0, :cut], tokens[0, cut:]
        if torch.equal(head, self._head):
            # Later steps wrote behind it only.
            self._loop.position = cut
        else:
            self._head = self._head[:0]  # of no worth if reading is interrupted
            self._loop.prefill(head)
            self._head = head.clone()
        for token in tail.tolist():
            logits = self._loop.step(token)
        return logits

    def step(self, token: int) -> torch.Tensor:
        """Logits (vocabulary,) after one token more."""
        return self._loop.step(token)

    def _logits(self) -> torch.Tensor:
        """What the model says to a few tokens: any change of its weights shows in some bit."""
        with torch.inference_mode(), last_row(self.model):
            out: torch.Tensor = self.model(input_ids=torch.arange(3, 3 + _PROBE)[None],
                                           use_cache=False, logits_to_keep=1).logits
        return out
