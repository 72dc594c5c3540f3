"""Prompts that begin alike read as one sequence: what they share once, then every ending.

A frame is asked the same in several ways (options swapped, another wording). All that stands
before the first difference is the same, and a causal decoder makes the same of it; so it is read
once. The endings stand behind one another at their own positions, and a mask lets each see what
it would see alone. Needs a decoder that takes such a mask, and no cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neurosparse.video.families import Prompt
from neurosparse.video.scorers.padding import Side, pad_prompts


@dataclass(frozen=True)
class Branches:
    """Several prompts in one.

    Attributes
    ----------
    prompt
        The tokens that are shared once, then those of every ending.
    paths
        Which tokens of it each prompt consists of, in order.
    """

    prompt: Prompt
    paths: tuple[tuple[int, ...], ...]

    def seen(self) -> Tensor:
        """What each token sees, shape (tokens, tokens): all of its prompt up to itself."""
        table = torch.zeros(len(self.prompt), len(self.prompt), dtype=torch.bool)
        for path in self.paths:
            for depth, token in enumerate(path):
                table[token, list(path[: depth + 1])] = True
        return table

    def ends(self) -> list[int]:
        """The last token of each prompt."""
        return [path[-1] for path in self.paths]


def branches_of(prompts: Sequence[Prompt]) -> Branches | None:
    """Prompts folded into one wherever they begin alike.

    Parameters
    ----------
    prompts
        Of the same rows, in several wordings; each of batch 1.

    Returns
    -------
    Branches
        Or None where the rows themselves would have to be read more than once, so that little is
        won (a family that puts the question first).
    """
    paths: list[tuple[int, ...]] = []
    kept: list[tuple[Prompt, int]] = []  # each prompt from the token where its own begin
    total = 0
    for number, one in enumerate(prompts):
        start, trunk = 0, tuple[int, ...]()
        for other, path in zip(prompts[:number], paths, strict=True):
            if (alike := _alike(one, other)) > start:
                start, trunk = alike, path[:alike]
        start = min(start, len(one) - 1)  # the answer stands at a token of its own
        own = len(one) - start
        paths.append((*trunk[:start], *range(total, total + own)))
        kept.append((one, start))
        total += own
    first = prompts[0]
    joined = Prompt(torch.cat([one.embeds[:, start:] for one, start in kept], 1),
                    torch.cat([one.positions[..., start:] for one, start in kept], -1),
                    torch.cat([one.places[:, start:] for one, start in kept], 1), first.deep)
    if int(joined.places.sum()) != int(first.places.sum()):
        return None
    return Branches(joined, tuple(paths))


def _alike(one: Prompt, other: Prompt) -> int:
    """Tokens from the beginning that are the same, at the same positions."""
    length = min(len(one), len(other))
    same = (one.embeds[0, :length] == other.embeds[0, :length]).all(-1)
    here, there = one.positions[..., :length], other.positions[..., :length]
    same &= (here == there).reshape(-1, length).all(0).to(same.device)
    return length if bool(same.all()) else int((~same).nonzero()[0])


def filled(branches: Branches, rows: Tensor, deep: tuple[Tensor, ...]) -> Branches:
    """The same text with the rows of another frame in it."""
    prompt = branches.prompt
    embeds = prompt.embeds.masked_scatter(
        prompt.places[..., None], rows.to(prompt.embeds.device, prompt.embeds.dtype))
    return Branches(replace(prompt, embeds=embeds, deep=deep), branches.paths)


def pad_branches(some: Sequence[Branches], side: Side) -> tuple[Prompt, Tensor, Tensor]:
    """Folded prompts below one another, as ``pad_prompts`` does with plain ones.

    Returns
    -------
    prompt
        Of the whole batch.
    mask : shape (batch, 1, tokens, tokens)
        To add to the logits of attention: 0 where a token sees another, else the lowest number.
    ends : shape (batch, prompts)
        The last tokens of the prompts.
    """
    whole, present, _ = pad_prompts([one.prompt for one in some], side)
    length = whole.embeds.shape[1]
    tables: dict[tuple[tuple[int, ...], ...], Tensor] = {}
    masks, ends = [], []
    for one in some:
        before = length - len(one.prompt) if side == "left" else 0
        if one.paths not in tables:
            table = torch.zeros(length, length, dtype=torch.bool)
            after = before + len(one.prompt)
            table[before:after, before:after] = one.seen()
            tables[one.paths] = table
        masks.append(tables[one.paths])
        ends.append([before + end for end in one.ends()])
    seen = masks[0][None] if len(tables) == 1 else torch.stack(masks)
    low = torch.finfo(whole.embeds.dtype).min
    added = torch.zeros(seen.shape, dtype=whole.embeds.dtype).masked_fill_(~seen, low)
    mask = added[:, None].to(present.device).expand(len(some), 1, length, length)
    return whole, mask, torch.tensor(ends)
