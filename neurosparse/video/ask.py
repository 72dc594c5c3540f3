"""A question about a video, answered within a budget of tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurosparse.progress import Progress, silent
from neurosparse.video.answer import completer, generate
from neurosparse.video.assign import Assignment, assign_tokens
from neurosparse.video.decouple import Decoupled, Mode, decouple
from neurosparse.video.families import Family, Features, Shown, family_of
from neurosparse.video.frames import Frames, sample_frames
from neurosparse.video.processor import halves
from neurosparse.video.resize import Resizer, makes_rectangles, resize_tokens
from neurosparse.video.score import FrameScores, score_frames
from neurosparse.video.scorers import AskedScorer, ScoreFunction, Scorer
from neurosparse.video.units import Times, encode_frames, full_grid, unit_scores, unit_times
from neurosparse.video.weights import WeightRule


@dataclass(frozen=True)
class Answer:
    """What a model says, and what it was shown.

    Attributes
    ----------
    text
        The answer.
    asked
        The question and what was looked for.
    scores
        Of the frames taken.
    assignment
        Tokens and grids of the units (frames, or pairs of frames for the Qwen families).
    times
        Seconds of the units.
    sequence
        Tokens that the model read, text and separators with them.
    seconds
        Wall time of each step.
    notes
        What was not as usual, of all steps.
    """

    text: str
    asked: Decoupled
    scores: FrameScores
    assignment: Assignment
    times: tuple[float, ...]
    sequence: int
    seconds: dict[str, float]
    notes: tuple[str, ...]


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._before = now - self._before, now


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


def ask(
    model: Any, processor: Any, video: str | Path | Frames, question: str, *, token_budget: int,
    frames: int | None = None, scorer: Scorer | ScoreFunction | None = None,
    decoupling: Mode | Sequence[str] = "entities", options: Sequence[str] = (),
    rule: WeightRule = "power", power: float = 2.0, temperature: float = 1.0,
    guard: bool = True, floor: int = 1, resizer: Resizer = "bilinear",
    family: str | Family | None = None, side: int | None = None, batch: int = 16,
    cache: str | Path | None = None, max_new_tokens: int = 16, progress: Progress = silent,
) -> Answer:
    """Answer a question about a video, giving tokens to the frames that matter for it.

    ``sample_frames``, ``decouple``, ``score_frames``, ``assign_tokens``, ``resize_tokens`` and
    the model's own decoder, in this order; each can be called for itself.

    Parameters
    ----------
    model, processor
        A video model of transformers, and its processor or :func:`load_processor` of its folder.
    video
        A file, or frames.
    question
        As the user asks it; special tokens in it are taken apart.
    token_budget
        Tokens for the video, without the model's separators.
    frames
        To take; by duration where None (:func:`frame_count`).
    scorer
        The main model itself, asked yes or no, where None.
    decoupling
        ``"entities"``, ``"events"``, ``"off"``, or a list of things to look for.
    options
        Answers to choose from; the model is asked for the letter.
    rule, power, temperature, floor
        As for :func:`assign_tokens`.
    guard
        Mix towards uniform by the agreement of the scorer's readings.
    resizer
        As for :func:`resize_tokens`.
    family
        As for :func:`family_of`.
    side
        As for :func:`sample_frames`.
    batch
        Frames that scorer and vision part get at once.
    cache
        As for :func:`score_frames`.
    max_new_tokens
        Of the answer.
    progress
        Called on the way.

    Raises
    ------
    NeurosparseError
        Of the steps.

    References
    ----------
    QuoTA (arXiv 2503.08689).
    """
    adapter, parts, clock = family_of(model, family), halves(processor), _Clock()
    taken = video if isinstance(video, Frames) else sample_frames(
        video, frames, side=side, progress=progress)
    clock.lap("decode")
    given = None if isinstance(decoupling, str) else list(decoupling)
    mode: Mode = decoupling if isinstance(decoupling, str) else "entities"  # type: ignore[assignment]
    asked = decouple(question, completer(adapter, model, parts), mode=mode, options=options,
                     given=given)
    clock.lap("decouple")
    judge = scorer if scorer is not None else AskedScorer(model, parts, family=adapter)
    scores = score_frames(taken.pictures, asked, judge, batch=batch, cache=cache,
                          progress=progress)
    clock.lap("score")
    features = encode_frames(adapter, model, parts, taken.pictures, batch=batch,
                             progress=progress)
    clock.lap("encode")
    together = adapter.unit_frames(model)
    assignment = assign_tokens(
        unit_scores(scores.scores, together), token_budget, full=full_grid(features),
        floor=floor, rule=rule, power=power, temperature=temperature,
        trust=scores.trust if guard else 1.0)
    times = unit_times(taken.times, together)
    with torch.no_grad():
        shown = show(features, assignment, times, taken.duration, resizer)
        clock.lap("resize")
        prompt = adapter.prompt(model, parts, with_options(question, options), shown)
        text = generate(adapter, model, parts, prompt, max_new_tokens=max_new_tokens)
    clock.lap("answer")
    unread = (asked.note,) if asked.note and mode != "off" else ()
    notes = (*taken.notes, *unread, *assignment.notes)
    return Answer(text, asked, scores, assignment, tuple(times.of.tolist()), len(prompt),
                  clock.seconds, notes)


def with_options(question: str, options: Sequence[str]) -> str:
    """The question, its options with letters, and what kind of answer is wanted."""
    if not options:
        return question
    listed = "\n".join(f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(options))
    return f"{question}\n{listed}\nAnswer with the letter of the right option only."
