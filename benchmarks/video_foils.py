"""Ways to bring a video within a budget that the table of token budgets compares with.

Written from the papers' descriptions for the small model of ``examples/video``: similarity pruning
after FrameFusion (arXiv 2501.01986), attention pruning after FastV (arXiv 2403.06764).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from neurosparse.video.families import Prompt


def similarity_pruning(grids: Tensor, budget: int) -> list[Tensor]:
    """Merge the tokens that are most like the same place one frame before; the question is unseen.

    Parameters
    ----------
    grids
        Shape (frames, rows, columns, width).
    budget
        Tokens to leave. A token that goes is averaged into the one of its place that stays before
        it, sizes carried along.

    Returns
    -------
    list of one Tensor of shape (budget, width)
        In the order of time.
    """
    frames, places = len(grids), grids.shape[1] * grids.shape[2]
    tokens = grids.reshape(frames, places, -1)
    alike = functional.cosine_similarity(tokens[1:], tokens[:-1], dim=-1)
    # Those of the first frame have nothing before them; they are the last to go.
    alike = torch.cat([torch.full_like(alike[:1], -2.0), alike])
    if budget >= frames * places:
        return [tokens.flatten(0, 1)]
    order = torch.argsort(alike.flatten(), stable=True)
    stays = torch.zeros(frames * places, dtype=torch.bool)
    stays[order[:budget]] = True
    stays = stays.view(frames, places)
    out, sizes = torch.zeros_like(tokens), torch.zeros(frames, places, 1)
    into = torch.full((places,), -1)
    for at in range(frames):
        into = torch.where(stays[at], torch.full_like(into, at), into)
        there = torch.nonzero(into >= 0).flatten()
        out[into[there], there] += tokens[at, there]
        sizes[into[there], there] += 1
    return [(out / sizes.clamp(min=1))[stays]]


class AttentionPruning:
    """Drop, after some layers of the decoder, the video tokens that the last token attends least.

    The first layers read every token: what is saved is saved in the layers after them alone.

    Parameters
    ----------
    model
        A LLaVA-OneVision with a Qwen2 decoder.
    layers
        That read everything.
    """

    def __init__(self, model: Any, layers: int = 2) -> None:
        self._decoder, self._head, self._layers = model.model.language_model, model.lm_head, layers

    def answers(self, prompt: Prompt, budgets: tuple[int, ...]) -> list[int]:
        """The first token that is said under each budget, of one prompt with all its tokens."""
        decoder = self._decoder
        turn = decoder.rotary_emb(prompt.embeds, prompt.positions)
        hidden = prompt.embeds
        for layer in decoder.layers[: self._layers]:
            before, hidden = hidden, self._run(layer, hidden, turn, prompt.positions)
        weight = self._attention(decoder.layers[self._layers - 1], before, turn)
        places = torch.nonzero(prompt.places[0]).flatten()
        ranked = places[torch.argsort(weight[places], descending=True, stable=True)]
        said = []
        for budget in budgets:
            keep = ~prompt.places[0]
            # One more: the newline after the video, which no budget counts.
            keep[ranked[:budget]] = True
            keep[places[-1]] = True
            rest, angles = hidden[:, keep], (turn[0][:, keep], turn[1][:, keep])
            for layer in decoder.layers[self._layers :]:
                rest = self._run(layer, rest, angles, prompt.positions[:, keep])
            said.append(int(self._head(decoder.norm(rest[:, -1])).argmax()))
        return said

    def _run(self, layer: Any, hidden: Tensor, turn: tuple[Tensor, Tensor], positions: Tensor
             ) -> Tensor:
        out = layer(hidden, attention_mask=None, position_ids=positions, use_cache=False,
                    position_embeddings=turn)
        return out if isinstance(out, Tensor) else out[0]

    def _attention(self, layer: Any, hidden: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """Mean over heads of the attention of the last token, shape (tokens,)."""
        from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

        attention, normal = layer.self_attn, layer.input_layernorm(hidden)
        shape = (*normal.shape[:-1], -1, attention.head_dim)
        query = attention.q_proj(normal).view(shape).transpose(1, 2)
        key = attention.k_proj(normal).view(shape).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, *turn)
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        scores = query[:, :, -1:] @ key.transpose(2, 3) * attention.scaling
        return scores.softmax(-1)[0, :, 0].mean(0)
