"""The first lesson: what stands in each patch, said in the decoder's own words.

A tower and a projector that are random give a decoder nothing to attend to. Here the projected
feature of a patch learns to be near the words of what stands there (its colour, its shape, or
neither), as CLIP-like training makes towers that LLaVA-type models start from. The tower is frozen
afterwards: it stays local, so that what is pooled away is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from small_videos import COLOURS, PLACES, SHAPES, Pictures, Thing, draw
from torch import Tensor
from torch.nn import functional

from neurosparse.video.families.llava_onevision import vision_features

_COLOURS, _SHAPES = ["null", *COLOURS], ["null", *SHAPES]
_SHARPNESS = 20.0
_ALL = [(colour, shape) for colour in COLOURS for shape in SHAPES]


def pixels_of(pictures: Pictures) -> Tensor:
    """As the processor normalises them."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def labels_of(where: list[dict[int, Thing]]) -> Tensor:
    """Colour and shape of every patch, 0 for none: shape (frames, patches, 2)."""
    found = torch.zeros(len(where), PLACES**2, 2, dtype=torch.long)
    for frame, things in zip(found, where, strict=True):
        for place, (colour, shape) in things.items():
            frame[place] = torch.tensor([_COLOURS.index(colour), _SHAPES.index(shape)])
    return found


def patch_loss(model: Any, tokenizer: Any, rng: np.random.Generator, frames: int
               ) -> tuple[Tensor, float]:
    """Cross-entropy of the words of all patches, and the share of things read right."""
    pictures, where = draw(rng, [[] for _ in range(frames)], _ALL, held_out=False)
    features = model.model.multi_modal_projector(vision_features(model, pixels_of(pictures)))
    labels, words = labels_of(where), model.get_input_embeddings().weight
    # Directions carry the words; lengths stay those of the words, as a decoder expects.
    length = features.norm(dim=-1, keepdim=True)
    loss, right = (length - 1).square().mean(), labels[..., 0] > 0
    for at, names in enumerate((_COLOURS, _SHAPES)):
        named = functional.normalize(words[tokenizer.convert_tokens_to_ids(names)], dim=-1)
        scores = _SHARPNESS * (features / length) @ named.T
        loss = loss + functional.cross_entropy(scores.flatten(0, 1), labels[..., at].flatten())
        right = right & (scores.argmax(-1) == labels[..., at])
    return loss, float(right.sum() / (labels[..., 0] > 0).sum())
