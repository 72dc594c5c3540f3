"""Prompts of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from neurosparse.errors import InputError
from neurosparse.video.families import Prompt

Side = Literal["left", "right"]


def pad_prompts(prompts: Sequence[Prompt], side: Side) -> tuple[Prompt, Tensor, Tensor]:
    """Prompts below one another.

    Parameters
    ----------
    prompts
        Each of batch 1.
    side
        Where the padding goes. Positions are those of the prompts, so that the answer is the
        same either way.

    Returns
    -------
    prompt
        Of the whole batch.
    mask : shape (prompts, tokens)
        1 where there is a token.
    last : shape (prompts,)
        The place of the last token of each.

    Raises
    ------
    InputError
        Another side.
    """
    if side not in ("left", "right"):
        raise InputError("pad prompts", found=f"side={side!r}", expected="left or right")
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    longest = int(lengths.max())

    def padded(tensor: Tensor, after: int) -> Tensor:
        """Padded along the axis that has ``after`` axes behind it."""
        missing = longest - tensor.shape[-1 - after]
        ends = (missing, 0) if side == "left" else (0, missing)
        return functional.pad(tensor, (0, 0) * after + ends)

    whole = Prompt(
        torch.cat([padded(p.embeds, 1) for p in prompts]),
        torch.cat([padded(p.positions, 0) for p in prompts], dim=-2),
        torch.cat([padded(p.places, 0) for p in prompts]),
        tuple(torch.cat(layer) for layer in zip(*(p.deep for p in prompts), strict=True)),
    )
    mask = torch.cat([padded(torch.ones_like(p.places, dtype=torch.long), 0) for p in prompts])
    last = torch.full_like(lengths, longest - 1) if side == "left" else lengths - 1
    return whole, mask, last.to(mask.device)
