"""CLIP and SigLIP as scorers: how near a frame is to a phrase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from neurosparse.video.decouple import Decoupled
from neurosparse.video.processor import as_images
from neurosparse.video.scorers.digest import weights_digest

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


class DualScorer:
    """The best match of a frame among the phrases of the question.

    A reading is the cosine of the two towers for CLIP, scaled over the video afterwards; for
    SigLIP the probability of a match that it was trained for, ``sigmoid(scale * cos + bias)``.

    Parameters
    ----------
    model
        ``CLIPModel``, ``SiglipModel`` or alike: ``get_image_features``, ``get_text_features``.
    image_processor, tokenizer
        Of the model. Phrases longer than the text tower's context are cut.
    """

    def __init__(self, model: Any, image_processor: Any, tokenizer: Any) -> None:
        self._model, self._images, self._tokenizer = model, image_processor, tokenizer
        self._bias = getattr(model, "logit_bias", None)
        self.scaled = self._bias is not None
        self.name = f"dual {model.config.model_type} {weights_digest(model)}"

    def read(self, pictures: Sequence[Picture], asked: Decoupled) -> Floats:
        """One reading, shape (1, frames)."""
        device = next(self._model.parameters()).device
        context = self._model.config.text_config.max_position_embeddings
        # SigLIP was trained on texts padded to the full context, without a mask.
        whole = self._bias is not None
        text = self._tokenizer(
            list(asked.phrases()), padding="max_length" if whole else True, truncation=True,
            max_length=context, return_tensors="pt", return_attention_mask=not whole).to(device)
        pixels = self._images(images=as_images(pictures), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            words = _unit(self._model.get_text_features(**text))
            seen = _unit(self._model.get_image_features(pixel_values=pixels.to(device)))
            near = (seen @ words.T).amax(dim=1)
            if self._bias is not None:
                near = torch.sigmoid(near * self._model.logit_scale.exp() + self._bias)
        return near.double().cpu().numpy()[None]


def _unit(output: Any) -> Tensor:
    features: Tensor = getattr(output, "pooler_output", output)
    return functional.normalize(features, dim=-1)
