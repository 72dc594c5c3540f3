"""A model's own features of a frame against its own words for the question: nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from neurosparse.video.decouple import Decoupled
from neurosparse.video.families import Family, Features, family_of
from neurosparse.video.processor import halves
from neurosparse.video.scorers.digest import weights_digest
from neurosparse.video.units import encode_alone

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


class WordScorer:
    """The best match of any place of a frame with any word: the greatest cosine.

    What CLIP does with its two towers, with what a video model has anyway: features on their way
    into the decoder, and the embeddings of its tokens. The features are those that the answer is
    made from, so that scoring costs one small product. It is worth something where training has
    brought the features near the words; whether that is so shows in accuracy alone, as there is
    one reading and nothing for the guard to compare.

    Parameters
    ----------
    model, processor
        A video model of any family here, and its processor.
    family
        As for :func:`family_of`.
    """

    scaled = False

    def __init__(self, model: Any, processor: Any, *, family: str | Family | None = None) -> None:
        self._model, self._processor = model, halves(processor)
        self._family = family_of(model, family)
        self.name = f"words {self._family.name} {weights_digest(model)}"

    def reads_features(self, model: Any, family: Family) -> bool:
        """As for ``AskedScorer``."""
        return (self._model is model and type(self._family) is type(family)
                and family.unit_frames(model) == 1)

    def read(self, pictures: Sequence[Picture], asked: Decoupled) -> Floats:
        """One reading, shape (1, frames): a cosine, scaled over the video afterwards."""
        return self.read_features(
            encode_alone(self._family, self._model, self._processor, pictures), asked)

    def read_features(self, features: Features, asked: Decoupled) -> Floats:
        """As :meth:`read`, of frames that are encoded already."""
        with torch.no_grad():
            seen = self._family.decoder_rows(self._model, features.grids).flatten(1, 2)
            words = self._model.get_input_embeddings()(
                self._words(asked).to(self._model.get_input_embeddings().weight.device))
            near = functional.normalize(seen.float(), dim=-1) @ functional.normalize(
                words.float(), dim=-1).T.to(seen.device)
            return near.amax((1, 2)).double().cpu().numpy()[None]

    def _words(self, asked: Decoupled) -> Tensor:
        """Tokens of what is looked for, without signs; all of them where there is nothing else."""
        tokenizer = self._processor.tokenizer
        ids = sorted({one for phrase in asked.phrases()
                      for one in tokenizer.encode(phrase, add_special_tokens=False)})
        said = [one for one in ids
                if any(sign.isalnum() for sign in tokenizer.decode([one]))]
        return torch.tensor(said or ids)
