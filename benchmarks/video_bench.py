"""The trained small video model, the videos that it is asked about, and what it says of them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForImageTextToText

from neurosparse.video import (
    AskedScorer,
    Decoupled,
    Features,
    Scorer,
    WordScorer,
    decouple,
    family_of,
    load_processor,
    score_coarse_to_fine,
)
from neurosparse.video.answer import completer
from neurosparse.video.ask import with_options
from neurosparse.video.families import Prompt, Shown
from neurosparse.video.families.family import flat
from neurosparse.video.score import FrameScores, score_frames
from neurosparse.video.scorers.padding import pad_prompts
from neurosparse.video.units import encode_frames

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "video"))
from small_videos import PLACES, Asked, Scene, make

FRAMES, FULL = 24, (PLACES, PLACES)
BUDGETS = tuple(count * PLACES**2 for count in (1, 2, 4, 6, 8))
Floats = NDArray[np.float64]
Way = Callable[["Bench", int, int, int], list[Tensor]]
"""(bench, video, question, budget) to the rows that are shown."""


def digest(folder: Path) -> str:
    """Of the weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]


class Bench:
    """Videos, their features, and scores; each computed once."""

    def __init__(self, folder: Path, videos: int, seed: int, cache: Path, *,
                 held_out: bool = True) -> None:
        self.model = AutoModelForImageTextToText.from_pretrained(folder).eval()
        self.model.requires_grad_(False)
        self.processor = load_processor(folder)
        self.family, self.cache = family_of(self.model), cache
        rng = np.random.default_rng([seed, 1])
        self.scenes: list[Scene] = [make(rng, FRAMES, held_out=held_out) for _ in range(videos)]
        self.grids = [encode_frames(self.family, self.model, self.processor,
                                    list(one.pictures)).grids for one in self.scenes]
        self._judges: dict[str, Scorer] = {}
        self._others: dict[str, Any] = {}
        self._seen: dict[str, dict[tuple[int, int], FrameScores]] = {}

    def judge(self, name: str) -> Scorer:
        """``own``, ``untrained`` (asked), or ``words``; ``paraphrase``, and tokens a frame."""
        if name not in self._judges:
            who, *how = name.split()
            tokens = next((int(one) for one in how if one.isdigit()), FULL[0] * FULL[1])
            self._judges[name] = (
                WordScorer(self.model, self.processor) if who == "words" else
                AskedScorer(self._model(who), self.processor, tokens=tokens,
                            paraphrase="paraphrase" in how))
        return self._judges[name]

    def _model(self, who: str) -> Any:
        if who == "own":
            return self.model
        if who not in self._others:
            torch.manual_seed(7)
            self._others[who] = type(self.model)(self.model.config).eval()
        return self._others[who]

    def asked(self, video: int, question: int) -> Asked:
        """One question."""
        return self.scenes[video].asked[question]

    @lru_cache(maxsize=65536)  # noqa: B019
    def decoupled(self, video: int, question: int) -> Decoupled:
        """What the model itself says must be seen."""
        return decouple(self.asked(video, question).question,
                        completer(self.family, self.model, self.processor, max_new_tokens=32))

    def scores(self, name: str, video: int, question: int) -> FrameScores:
        """A scorer as :meth:`judge` names it, of the decoupled question or (``plain``) as it is.

        With ``coarse`` every fourth frame is read first, and half of them all.
        """
        kept = self._seen.setdefault(name, {})
        if (video, question) not in kept:
            how = name.split()
            judge = self.judge(" ".join(one for one in how if one not in ("plain", "coarse")))
            words = (Decoupled(self.asked(video, question).question) if "plain" in how else
                     self.decoupled(video, question))
            pictures, cache = list(self.scenes[video].pictures), self.cache / "scores"
            given = Features(self.grids[video]) if how[0] != "untrained" else None
            kept[video, question] = (
                score_coarse_to_fine(pictures, words, judge, batch=FRAMES, cache=cache,
                                     features=given)[0]
                if "coarse" in how else
                score_frames(pictures, words, judge, batch=FRAMES, cache=cache, features=given))
        return kept[video, question]

    def note(self, name: str, video: int, question: int, found: FrameScores) -> None:
        """Keep a planted scorer's scores beside the others, for :meth:`quality`."""
        self._seen.setdefault(name, {})[video, question] = found

    def quality(self) -> dict[str, dict[str, float]]:
        """How good each scorer is that was used, by the frames that matter."""
        return {name: _quality([(one.scores, self.asked(*at).matter, one.trust)
                                for at, one in sorted(kept.items())])
                for name, kept in self._seen.items()}

    def prompt(self, video: int, question: int, rows: list[Tensor]) -> Prompt:
        """As ``ask`` writes it."""
        one = self.asked(video, question)
        shown = Shown([flat(rows)], [0], [0.0], 1, 1.0, float(FRAMES))
        return self.family.prompt(self.model, self.processor,
                                  with_options(one.question, one.options), shown)

    def answers(self, way: Way, budget: int, batch: int = 32) -> list[str]:
        """Which questions are answered right: a text of 0 and 1 a video."""
        todo = [(v, q) for v in range(len(self.scenes))
                for q in range(len(self.scenes[v].asked))]
        said: list[int] = []
        with torch.inference_mode():
            for start in range(0, len(todo), batch):
                some = [self.prompt(v, q, way(self, v, q, budget))
                        for v, q in todo[start : start + batch]]
                whole, mask, _ = pad_prompts(some, "left")
                out = self.family.forward(self.model, whole, attention_mask=mask,
                                          use_cache=False, logits_to_keep=1)
                said += out.logits[:, -1].argmax(-1).tolist()
        return self.marked(said)

    def marked(self, said: list[int]) -> list[str]:
        """First words that were said, against the right ones."""
        words, found = iter(said), []
        for scene in self.scenes:
            right = self.processor.tokenizer.convert_tokens_to_ids([a.answer for a in scene.asked])
            found.append("".join(str(int(next(words) == one)) for one in right))
        return found


def _quality(seen: list[tuple[Floats, NDArray[np.bool_], float]]) -> dict[str, float]:
    scores = np.concatenate([one for one, _, _ in seen])
    matter = np.concatenate([one for _, one, _ in seen])
    aucs = [float(np.mean((s[m][:, None] > s[~m]) + 0.5 * (s[m][:, None] == s[~m])))
            for s, m, _ in seen]
    return {"hit": float((scores[matter] > 0.5).mean()),
            "false_alarm": float((scores[~matter] > 0.5).mean()), "auc": float(np.mean(aucs)),
            "trust": float(np.mean([trust for _, _, trust in seen]))}


__all__ = ["BUDGETS", "FRAMES", "FULL", "Asked", "Bench", "Way", "digest"]
