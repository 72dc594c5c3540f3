"""Greedy decoding from a prompt of embeddings, the same for every family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neurosparse.models.last_row import last_row
from neurosparse.video.decouple import Complete
from neurosparse.video.families import Family, Prompt
from neurosparse.video.processor import VideoProcessor, chat, ids_of


def generate(
    family: Family, model: Any, processor: VideoProcessor, prompt: Prompt, *,
    max_new_tokens: int = 16,
) -> str:
    """The greedy answer to a prompt.

    Parameters
    ----------
    family, model, processor
        The adapter, the model and the halves of its processor.
    prompt
        Of the adapter.
    max_new_tokens
        Where to stop at the latest; the model's end tokens stop it before.
    """
    found = greedy(family, model, processor, prompt, max_new_tokens=max_new_tokens)
    if found and found[-1] in _end_tokens(model, processor):
        del found[-1]
    text: str = processor.tokenizer.decode(found, skip_special_tokens=True)
    return text.strip()


def greedy(
    family: Family, model: Any, processor: VideoProcessor, prompt: Prompt, *,
    max_new_tokens: int = 16,
) -> list[int]:
    """Token ids of the greedy answer, the end token among them where it is reached.

    Parameters
    ----------
    family, model, processor, prompt, max_new_tokens
        As for :func:`generate`.
    """
    stop = _end_tokens(model, processor)
    # The models count on from the greatest position of the prompt.
    position = int(prompt.positions.max()) + 1
    step, cache, found = prompt, None, list[int]()
    with torch.no_grad(), last_row(model):
        while len(found) < max_new_tokens:
            out = family.forward(model, step, past_key_values=cache, use_cache=True,
                                 logits_to_keep=1)
            cache = out.past_key_values
            found.append(int(out.logits[0, -1].argmax()))
            if found[-1] in stop:
                break
            step = _words(model, prompt, found[-1:], position)
            position += 1
    return found


def answer_logs(family: Family, model: Any, prompt: Prompt, answer: Sequence[int]) -> Tensor:
    """Log-probabilities of the next token at every token of a given answer.

    Parameters
    ----------
    family, model, prompt
        As for :func:`generate`.
    answer
        Token ids, one or more; the model is read as if it had said them.

    Returns
    -------
    float32 Tensor of shape (tokens of the answer, vocabulary)
    """
    whole = prompt
    if len(answer) > 1:
        more = _words(model, prompt, answer[:-1], int(prompt.positions.max()) + 1)
        whole = Prompt(torch.cat([prompt.embeds, more.embeds], 1),
                       torch.cat([prompt.positions, more.positions], -1),
                       torch.cat([prompt.places, more.places], 1), prompt.deep)
    with torch.no_grad():
        logits = family.forward(model, whole, use_cache=False, logits_to_keep=len(answer)).logits
    logs: Tensor = torch.log_softmax(logits[0].float(), dim=-1)
    return logs


def _words(model: Any, prompt: Prompt, ids: Sequence[int], position: int) -> Prompt:
    """Tokens of text at consecutive positions, in the form of a prompt's."""
    device = prompt.embeds.device
    table = torch.tensor([list(ids)], device=device)
    shape = (*prompt.positions.shape[:-1], len(ids))
    places = torch.arange(position, position + len(ids), device=device).expand(shape)
    return Prompt(model.get_input_embeddings()(table), places,
                  torch.zeros_like(table, dtype=torch.bool))


def _end_tokens(model: Any, processor: VideoProcessor) -> set[int]:
    ends: set[int] = set()
    settings = getattr(model, "generation_config", None)
    for value in (getattr(settings, "eos_token_id", None), processor.tokenizer.eos_token_id):
        if value is not None:
            ends.update(value if isinstance(value, (list, tuple)) else [value])
    return ends


def completer(
    family: Family, model: Any, processor: VideoProcessor, *, max_new_tokens: int = 256
) -> Complete:
    """``complete(prompt) -> str`` of a video model, with text alone (for :func:`decouple`)."""
    def complete(text: str) -> str:
        ids = ids_of(processor, chat(processor, "", text, template=family.template(processor)))
        embedding = model.get_input_embeddings()
        ids = ids.to(embedding.weight.device)
        positions: Tensor = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        with torch.no_grad():
            prompt = Prompt(embedding(ids), positions, torch.zeros_like(ids, dtype=torch.bool))
        return generate(family, model, processor, prompt, max_new_tokens=max_new_tokens)

    return complete
