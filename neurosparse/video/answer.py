"""Greedy decoding from a prompt of embeddings, the same for every family."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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
    stop = _end_tokens(model, processor)
    embedding = model.get_input_embeddings()
    # The models count on from the greatest position of the prompt.
    position = int(prompt.positions.max()) + 1
    step, cache, found = prompt, None, list[int]()
    with torch.no_grad():
        while len(found) < max_new_tokens:
            out = family.forward(model, step, past_key_values=cache, use_cache=True,
                                 logits_to_keep=1)
            cache = out.past_key_values
            token = int(out.logits[0, -1].argmax())
            if token in stop:
                break
            found.append(token)
            ids = torch.tensor([[token]], device=prompt.embeds.device)
            shape = (*prompt.positions.shape[:-1], 1)
            step = Prompt(embedding(ids), torch.full(shape, position, device=ids.device),
                          torch.zeros_like(ids, dtype=torch.bool))
            position += 1
    text: str = processor.tokenizer.decode(found, skip_special_tokens=True)
    return text.strip()


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
