"""Calibration on prompts with frames in them: the model reads prompt i where it is given token i.

Everything that walks through a language model block by block (``pruning.prune``,
``measure.profile``) gives it windows of token ids. The decoder of a video model reads mostly rows
that are no tokens. Inside :func:`reading` the model's ``forward`` takes the number of a prompt for
the prompt itself, so whatever its own forward makes of a prompt (masks, positions) is what the
walk sees, and nothing else has to know of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from neurosparse.errors import InputError
from neurosparse.video.families import Family, Prompt


@contextmanager
def reading(model: Any, family: Family, prompts: Sequence[Prompt]) -> Iterator[Tensor]:
    """Let a model read prompts where it is given their numbers, one at a time.

    Deep features (Qwen3-VL) are added between the blocks, which no walk from block to block can
    follow: they are left out of what is read.

    Parameters
    ----------
    model
        A video model.
    family
        Its adapter.
    prompts
        Of any lengths, at most as many as the vocabulary has tokens.

    Yields
    ------
    int64 Tensor of shape (prompts, 1)
        What to give in place of windows, with ``batch_size=1``.

    Raises
    ------
    InputError
        No prompts, or more than the vocabulary has tokens.
    """
    room = int(model.get_input_embeddings().weight.shape[0])
    if not 0 < len(prompts) <= room:
        raise InputError("calibrate on prompts", found=f"{len(prompts)} prompts",
                         expected=f"1 to {room}")
    plain = [replace(prompt, deep=()) for prompt in prompts]
    own = model.__dict__.get("forward")
    forward = model.forward

    def stand_in(*args: Any, input_ids: Tensor | None = None, **options: Any) -> Any:
        if input_ids is None:
            return forward(*args, **options)
        # A walk that wants logits of a later piece of a window has no number left to give; the
        # blocks are not run then, and any prompt leads to the head.
        number = int(input_ids.flatten()[0]) if input_ids.numel() else 0
        return family.forward(model, plain[number], **options)

    model.__dict__["forward"] = stand_in
    try:
        yield torch.arange(len(prompts)).unsqueeze(1)
    finally:
        if own is None:
            del model.__dict__["forward"]
        else:
            model.__dict__["forward"] = own


def of_one_length(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Prompts without what the longer ones have more at their beginning.

    For evidence that stacks hidden states of several windows (rule ``propagation``). Positions
    stay, and the questions, which stand at the end.
    """
    length = min(map(len, prompts))
    return [Prompt(one.embeds[:, -length:], one.positions[..., -length:],
                   one.places[:, -length:], ()) for one in prompts]
