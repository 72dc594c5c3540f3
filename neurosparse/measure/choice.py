"""Accuracy on choice items by length-normalised log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurosparse.errors import InputError
from neurosparse.measure.accuracy import Accuracy
from neurosparse.measure.choice_items import ChoiceItem
from neurosparse.models.last_row import last_row
from neurosparse.progress import Progress, silent


def choice_accuracy(model: nn.Module, tokenizer: Any, items: Sequence[ChoiceItem], *,
                    progress: Progress = silent) -> Accuracy:
    """Which choice a model finds likeliest, by log-likelihood a character (lm-eval's acc_norm).

    A context is read once; its choices go on from its cache together.

    Parameters
    ----------
    model
        Causal language model in memory, dense or packed.
    tokenizer
        Its own.
    items
        From ``choice_items``, or of your own.

    Raises
    ------
    InputError
        No items.
    """
    if not items:
        raise InputError("choice accuracy", found="no items", expected="at least one")
    right = np.zeros(len(items), bool)
    with torch.inference_mode():
        for at, item in enumerate(items):
            scores = choice_scores(model, tokenizer, item)
            right[at] = int(scores.argmax()) == item.answer
            progress("choices", at + 1, len(items))
    return Accuracy(right)


def choice_scores(model: nn.Module, tokenizer: Any, item: ChoiceItem) -> NDArray[np.float64]:
    """Log-likelihood a character of each choice after the context, array of shape (choices,)."""
    context: list[int] = tokenizer(item.context)["input_ids"]
    after = [_continuation(tokenizer, item.context, choice, len(context))
             for choice in item.choices]
    device = model.get_input_embeddings().weight.device  # type: ignore[operator]
    with last_row(model):
        first = model(input_ids=torch.tensor([context], device=device), use_cache=True,
                      logits_to_keep=1)
    cache = first.past_key_values
    cache.batch_repeat_interleave(len(after))
    longest = max(map(len, after))
    # The pad comes last: what precedes it cannot see it.
    padded = torch.tensor([ids + [ids[-1]] * (longest - len(ids)) for ids in after], device=device)
    rest = model(input_ids=padded, past_key_values=cache, use_cache=True).logits
    start = first.logits[0, -1:]
    return np.array([(_likelihood(start, ids[:1]) + _likelihood(row, ids[1:]))
                     / max(len(choice), 1)
                     for row, ids, choice in zip(rest, after, item.choices, strict=True)])


def _continuation(tokenizer: Any, context: str, choice: str, start: int) -> list[int]:
    """Tokens of the choice as they come out of the whole text, as lm-eval cuts them."""
    whole: list[int] = tokenizer(f"{context} {choice}")["input_ids"]
    return whole[start:] or whole[-1:]


def _likelihood(logits: Tensor, ids: list[int]) -> float:
    wanted = torch.tensor(ids, device=logits.device)[:, None]
    found = logits[: len(ids)].float().log_softmax(-1).gather(1, wanted)
    return float(found.double().sum())
