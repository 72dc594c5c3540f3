"""A vision-language model asked yes or no of every frame, twice, with the options swapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurosparse.errors import ModelError
from neurosparse.video.decouple import Decoupled
from neurosparse.video.families import Family, Features, Prompt, Shown, family_of
from neurosparse.video.grids import best_grid
from neurosparse.video.processor import halves
from neurosparse.video.resize import resize_tokens
from neurosparse.video.scorers.digest import weights_digest
from neurosparse.video.scorers.padding import Side, pad_prompts
from neurosparse.video.units import encode_frames, full_grid

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

_ORDERS = (("yes", "no"), ("no", "yes"))


class AskedScorer:
    """Relevance ``P(yes) / (P(yes) + P(no))`` of a frame, read under both orders of the options.

    The paper reads P("A") alone, and in one order: a model that likes the letter A then finds
    every frame relevant. Here the answer is normalised, and the mean of the two readings cancels
    the liking; their agreement is the guard's evidence.

    Parameters
    ----------
    model, processor
        A video model of any family here (the main model itself, or a smaller one) and its
        processor.
    family
        As for :func:`family_of`.
    tokens
        Tokens to show a frame with; the model's own number where None. Fewer is cheaper, more (up
        to what the vision part gives) sees smaller things.
    padding
        Side of the padding in a batch.
    paraphrase
        Ask in a second wording as well (four readings): a scorer that answers by how it is asked,
        and not by what the frame shows, contradicts itself. Costs twice as much.
    least_mass
        Where the two letters have less probability than this together, the model has not
        answered, and the reading is NaN.

    References
    ----------
    QuoTA (arXiv 2503.08689), frame scoring.
    """

    scaled = True

    def __init__(self, model: Any, processor: Any, *, family: str | Family | None = None,
                 tokens: int | None = None, padding: Side = "left",
                 paraphrase: bool = False, least_mass: float = 1e-3) -> None:
        self._model, self._processor = model, halves(processor)
        self._family = family_of(model, family)
        self._tokens, self._padding, self._least = tokens, padding, least_mass
        self._paraphrase = paraphrase
        self._letters = [self._variants(letter) for letter in "AB"]
        self.name = (f"asked {self._family.name} {weights_digest(model)} tokens={tokens} "
                     f"least_mass={least_mass}{' paraphrase' if paraphrase else ''}")

    def _variants(self, letter: str) -> Tensor:
        """Ids of the single tokens that write a letter, with and without a space before it."""
        tokenizer = self._processor.tokenizer
        found = {ids[0] for text in (letter, f" {letter}")
                 if len(ids := tokenizer.encode(text, add_special_tokens=False)) == 1
                 and ids[0] != tokenizer.unk_token_id}
        if not found:
            raise ModelError("score frames", found=f"no token for {letter!r}",
                             expected="a tokenizer with the letters A and B")
        return torch.tensor(sorted(found))

    def asks(self, model: Any) -> bool:
        """Whether it is this model that is asked."""
        return self._model is model

    def read(self, pictures: Sequence[Picture], asked: Decoupled) -> Floats:
        """Readings, shape (2 or 4, frames): options in order and swapped, by wording."""
        family, model = self._family, self._model
        with torch.no_grad():
            prompts = self.prompts(pictures, asked)
            whole, mask, last = pad_prompts(prompts, self._padding)
            logits = family.forward(model, whole, attention_mask=mask, use_cache=False).logits
            rows = torch.arange(len(prompts), device=logits.device)
            logs = torch.log_softmax(logits[rows, last.to(logits.device)].double(), dim=-1).cpu()
        first, second = (torch.logsumexp(logs[:, ids], dim=-1).exp().numpy()
                         for ids in self._letters)
        mass = first + second
        share = np.where(mass >= self._least, first / np.maximum(mass, 1e-300), np.nan)
        readings = share.reshape(-1, len(pictures))
        readings[1::2] = 1 - readings[1::2]
        return readings

    def prompts(self, pictures: Sequence[Picture], asked: Decoupled) -> list[Prompt]:
        """What the model reads: wording by wording, order by order, frame by frame."""
        family, model = self._family, self._model
        together = family.unit_frames(model)
        alone = [picture for picture in pictures for _ in range(together)]
        with torch.no_grad():
            features = encode_frames(family, model, self._processor, alone, batch=len(alone))
            shown = self._shown(features)
            wordings = [asked.scoring_question(), asked.paraphrase()]
            return [family.prompt(model, self._processor, self._question(words, order), one)
                    for words in wordings[: 1 + self._paraphrase] for order in _ORDERS
                    for one in shown]

    def _shown(self, features: Features) -> list[Shown]:
        full = full_grid(features)
        grid = self._family.default_grid(self._model, full)
        if self._tokens is not None:
            # Of all that the vision part gives: a scorer may look closer than the model does.
            grid = best_grid(self._tokens, full)
        sizes = [grid] * len(features.grids)
        rows = resize_tokens(features.grids, sizes)
        deep = [resize_tokens(layer, sizes) for layer in features.deep]
        return [Shown([one], [0], [0.0], 1, 1.0, 0.0, [[layer[i]] for layer in deep])
                for i, one in enumerate(rows)]

    def _question(self, words: str, order: tuple[str, str]) -> str:
        return (f"{words}\nA. {order[0]}\nB. {order[1]}\n"
                "Answer with the letter only.")
