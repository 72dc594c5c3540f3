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
from neurosparse.video.scorers.branches import Branches, branches_of, filled, pad_branches
from neurosparse.video.scorers.digest import weights_digest
from neurosparse.video.scorers.padding import Side, pad_prompts
from neurosparse.video.units import encode_alone, full_grid

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

_ORDERS = (("yes", "no"), ("no", "yes"))
# Kernels of attention that add a mask of any form.
_MASKED = ("sdpa", "eager")


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
        and not by what the frame shows, contradicts itself. Costs twice as much at most.
    least_mass
        Where the two letters have less probability than this together, the model has not
        answered, and the reading is NaN.
    share
        Read what the ways of asking have in common once; the scores are the same but for
        rounding. A model that cannot (its attention takes no mask of any form, or has windows)
        reads every way for itself whatever is said here.
    """

    scaled = True

    def __init__(self, model: Any, processor: Any, *, family: str | Family | None = None,
                 tokens: int | None = None, padding: Side = "left",
                 paraphrase: bool = False, least_mass: float = 1e-3, share: bool = True) -> None:
        self._model, self._processor = model, halves(processor)
        self._family = family_of(model, family)
        self._tokens, self._padding, self._least = tokens, padding, least_mass
        self._paraphrase, self._share = paraphrase, share
        self._letters = [self._variants(letter) for letter in "AB"]
        # The layout of the readings: by wording, then by order.
        self.layout = (1 + paraphrase, len(_ORDERS))
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

    def reads_features(self, model: Any, family: Family) -> bool:
        """Whether the features that this model makes of a video are those that are asked about.

        Pairs of neighbours are not: a frame is asked about alone.
        """
        return (self._model is model and type(self._family) is type(family)
                and family.unit_frames(model) == 1)

    def read(self, pictures: Sequence[Picture], asked: Decoupled) -> Floats:
        """Readings, shape (2 or 4, frames): options in order and swapped, by wording."""
        with torch.no_grad():
            return self.read_features(
                encode_alone(self._family, self._model, self._processor, pictures), asked)

    def read_features(self, features: Features, asked: Decoupled) -> Floats:
        """As :meth:`read`, of frames that are encoded already."""
        with torch.no_grad():
            shown = self._shown(features)
            folded = self._folded(shown, asked) if self._shares() else None
            if folded is None:
                prompts = [one for way in self._ways(shown, asked) for one in way]
                whole, mask, last = pad_prompts(prompts, self._padding)
                logs = self._logs(whole, mask, last[:, None])[:, 0]
            else:
                logs = self._logs(*pad_branches(folded, self._padding))
                logs = logs.transpose(0, 1).flatten(0, 1)  # way by way, frame by frame
        first, second = (torch.logsumexp(logs[:, ids], dim=-1).exp().numpy()
                         for ids in self._letters)
        mass = first + second
        share = np.where(mass >= self._least, first / np.maximum(mass, 1e-300), np.nan)
        readings = share.reshape(-1, len(shown))
        readings[1::2] = 1 - readings[1::2]
        return readings

    def _shares(self) -> bool:
        config = self._model.config.get_text_config()
        windows = "sliding_attention" in (getattr(config, "layer_types", None) or ())
        return (self._share and self._family.branches and not windows
                and getattr(config, "_attn_implementation", None) in _MASKED)

    def _logs(self, whole: Prompt, mask: Tensor, places: Tensor) -> Tensor:
        """Log-probabilities at some tokens of each row, shape (rows, places, vocabulary)."""
        # The head is run where it is read alone.
        kept, which = torch.unique(places, return_inverse=True)
        logits = self._family.forward(self._model, whole, attention_mask=mask, use_cache=False,
                                      logits_to_keep=kept.to(whole.embeds.device)).logits
        rows = torch.arange(len(places), device=logits.device)[:, None]
        found: Tensor = torch.log_softmax(
            logits[rows, which.to(logits.device)].double(), dim=-1).cpu()
        return found

    def prompts(self, pictures: Sequence[Picture], asked: Decoupled) -> list[Prompt]:
        """What the model reads: wording by wording, order by order, frame by frame."""
        with torch.no_grad():
            features = encode_alone(self._family, self._model, self._processor, pictures)
            return [one for way in self._ways(self._shown(features), asked) for one in way]

    def _ways(self, shown: Sequence[Shown], asked: Decoupled) -> list[list[Prompt]]:
        """Prompts by way of asking, then by frame."""
        return [[self._family.prompt(self._model, self._processor, text, one) for one in shown]
                for text in self._texts(asked)]

    def _folded(self, shown: Sequence[Shown], asked: Decoupled) -> list[Branches] | None:
        """All ways of asking about a frame in one, frame by frame; None where that saves nothing.

        The text is written once for all frames, as they differ in their rows alone.
        """
        family, model, processor = self._family, self._model, self._processor
        found = branches_of([way[0] for way in self._ways(shown[:1], asked)])
        if found is None:
            return None
        text, first = family.place(model, processor, shown[0])
        folded = [found]
        for one in shown[1:]:
            other, rows = family.place(model, processor, one)
            if other != text or len(rows) != len(first):
                return None
            deep = tuple(layer[0].flatten(0, -2).to(rows.device) for layer in one.deep)
            folded.append(filled(found, rows, deep))
        return folded

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

    def _texts(self, asked: Decoupled) -> list[str]:
        wordings = (asked.scoring_question(), asked.paraphrase())
        return [self._question(words, order) for words in wordings[: self.layout[0]]
                for order in _ORDERS]

    def _question(self, words: str, order: tuple[str, str]) -> str:
        return (f"{words}\nA. {order[0]}\nB. {order[1]}\n"
                "Answer with the letter only.")
