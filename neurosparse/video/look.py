"""A video looked at for a question: what the answer at any budget of tokens is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.video.answer import completer
from neurosparse.video.assign import Assignment, assign_tokens
from neurosparse.video.coarse import SCORINGS, Ints, Scoring, score_coarse_to_fine
from neurosparse.video.decouple import Decoupled, Mode, decouple
from neurosparse.video.families import Family, Features, Prompt, Shown
from neurosparse.video.frames import Frames
from neurosparse.video.processor import VideoProcessor
from neurosparse.video.resize import Resizer, makes_rectangles, resize_tokens
from neurosparse.video.score import FrameScores, as_scorer, score_frames
from neurosparse.video.scorers import FeatureScorer, ScoreFunction, Scorer
from neurosparse.video.units import Times, encode_frames, full_grid, unit_scores, unit_times
from neurosparse.video.weights import WeightRule


def _nothing(_name: str) -> None:
    return


@dataclass(frozen=True)
class Sharing:
    """How tokens go to frames, whatever their number; as for ``video.ask``."""

    rule: WeightRule = "power"
    power: float = 2.0
    temperature: float = 1.0
    guard: bool = True
    floor: int = 1
    resizer: Resizer = "bilinear"


@dataclass(frozen=True)
class Looked:
    """A video looked at for one question: all that does not depend on the budget.

    Attributes
    ----------
    question
        As the model is asked it, options with it.
    asked, scores
        What was looked for, and how far each frame shows it.
    features
        Of all units.
    times, duration
        Seconds of the units, and of the video.
    together
        Frames a unit.
    read
        Numbers of the frames that the scorer was given, None where it was given all.
    """

    question: str
    asked: Decoupled
    scores: FrameScores
    features: Features
    times: Times
    duration: float
    together: int
    read: Ints | None = None

    @property
    def most(self) -> int:
        """Tokens that all units hold."""
        return int(self.features.grids.shape[:3].numel())

    def assign(self, budget: int, sharing: Sharing) -> Assignment:
        """Tokens of the units within a budget.

        Raises
        ------
        BudgetError
            As for :func:`assign_tokens`.
        """
        return assign_tokens(
            unit_scores(self.scores.scores, self.together), budget,
            full=full_grid(self.features), floor=sharing.floor, rule=sharing.rule,
            power=sharing.power, temperature=sharing.temperature,
            trust=self.scores.trust if sharing.guard else 1.0)

    def prompt(self, family: Family, model: Any, processor: VideoProcessor, budget: int,
               sharing: Sharing) -> Prompt:
        """What the model reads within a budget of tokens."""
        with torch.no_grad():
            shown = show(self.features, self.assign(budget, sharing), self.times, self.duration,
                         sharing.resizer)
            return family.prompt(model, processor, self.question, shown)


def look(
    family: Family, model: Any, processor: VideoProcessor, taken: Frames, question: str,
    judge: Scorer | ScoreFunction, *, decoupling: Mode | Sequence[str] = "entities",
    scoring: Scoring = "full", stride: int = 4, enough: int | None = None,
    options: Sequence[str] = (), batch: int = 16, cache: str | Path | None = None,
    progress: Progress = silent, lap: Callable[[str], None] = _nothing,
) -> Looked:
    """Decouple the question, score the frames, encode them.

    A scorer that reads what the answer is made from is given it: the frames are encoded once, and
    first.

    Parameters
    ----------
    family, model, processor
        Adapter, model, and the halves of its processor.
    taken
        Frames of the video.
    question, decoupling, scoring, stride, enough, options, batch, cache, progress
        As for ``video.ask``.
    judge
        Who scores.
    lap
        Called with the name of each step that is done.

    Raises
    ------
    NeurosparseError
        Of the steps.
    """
    if scoring not in SCORINGS:
        raise InputError("score frames", found=f"scoring={scoring!r}",
                         expected=" or ".join(SCORINGS))
    given = None if isinstance(decoupling, str) else list(decoupling)
    mode: Mode = decoupling if isinstance(decoupling, str) else "entities"  # type: ignore[assignment]
    asked = decouple(question, completer(family, model, processor), mode=mode, options=options,
                     given=given)
    lap("decouple")
    scorer, read = as_scorer(judge), None
    shared = isinstance(scorer, FeatureScorer) and scorer.reads_features(model, family)

    def encoded() -> Features:
        found = encode_frames(family, model, processor, taken.pictures, batch=batch,
                              progress=progress)
        lap("encode")
        return found

    features = encoded() if shared else None
    if scoring == "coarse":
        scores, read = score_coarse_to_fine(
            taken.pictures, asked, scorer, stride=stride, enough=enough, batch=batch, cache=cache,
            features=features, progress=progress)
    else:
        scores = score_frames(taken.pictures, asked, scorer, batch=batch, cache=cache,
                              features=features, progress=progress)
    lap("score")
    if features is None:
        features = encoded()
    together = family.unit_frames(model)
    return Looked(with_options(question, options), asked, scores, features,
                  unit_times(taken.times, together), taken.duration, together, read)


def show(
    features: Features, assignment: Assignment, times: Times, duration: float,
    method: Resizer = "bilinear",
) -> Shown:
    """Resize the units that are kept to their tokens.

    Parameters
    ----------
    features
        Of all units.
    assignment
        With one entry a unit.
    times, duration
        In seconds.
    method
        A resizer; those that make rectangles use the grids, the others the counts.
    """
    kept = assignment.kept.tolist()
    sizes: list[Any] = ([assignment.grids[i] for i in kept] if makes_rectangles(method)
                        else [int(assignment.tokens[i]) for i in kept])
    rows = resize_tokens(features.grids[kept], sizes, method=method)
    deep = [resize_tokens(layer[kept], sizes, method=method) for layer in features.deep]
    return Shown(rows, kept, [float(times.of[i]) for i in kept], len(times.of), times.spacing,
                 duration, deep)


def with_options(question: str, options: Sequence[str]) -> str:
    """The question, its options with letters, and what kind of answer is wanted."""
    if not options:
        return question
    listed = "\n".join(f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(options))
    return f"{question}\n{listed}\nAnswer with the letter of the right option only."
