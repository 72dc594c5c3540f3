"""A question about a video, answered within a budget of tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from neurosparse.progress import Progress, silent
from neurosparse.video.answer import generate
from neurosparse.video.assign import Assignment
from neurosparse.video.coarse import Scoring
from neurosparse.video.decouple import Decoupled, Mode
from neurosparse.video.families import Family, family_of
from neurosparse.video.frames import Frames, sample_frames
from neurosparse.video.look import Sharing, look, show, with_options
from neurosparse.video.processor import halves
from neurosparse.video.resize import Resizer
from neurosparse.video.score import FrameScores
from neurosparse.video.scorers import AskedScorer, ScoreFunction, Scorer
from neurosparse.video.weights import WeightRule

__all__ = ["Answer", "ask", "show", "with_options"]


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
    seconds, processor_seconds
        Of each step, by the wall and of the processor (which other work on the machine does not
        lengthen).
    notes
        What was not as usual, of all steps.
    read
        Numbers of the frames that were scored, None for all.
    """

    text: str
    asked: Decoupled
    scores: FrameScores
    assignment: Assignment
    times: tuple[float, ...]
    sequence: int
    seconds: dict[str, float]
    notes: tuple[str, ...]
    processor_seconds: dict[str, float] = field(default_factory=dict)
    read: tuple[int, ...] | None = None


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self._before = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        now = time.perf_counter(), time.process_time()
        self.seconds[name], self.processor[name] = (
            now[0] - self._before[0], now[1] - self._before[1])
        self._before = now


def ask(
    model: Any, processor: Any, video: str | Path | Frames, question: str, *, token_budget: int,
    frames: int | None = None, scorer: Scorer | ScoreFunction | None = None,
    decoupling: Mode | Sequence[str] = "entities", scoring: Scoring = "full", stride: int = 4,
    enough: int | None = None, options: Sequence[str] = (),
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
    scoring
        ``"full"``, or ``"coarse"``: every ``stride``-th frame first, then the stretches between
        the best of them, half of all frames at most (:func:`score_coarse_to_fine`).
    stride, enough
        Of coarse scoring: the first pass, and frames found after which it stops.
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
    judge = scorer if scorer is not None else AskedScorer(model, parts, family=adapter)
    seen = look(adapter, model, parts, taken, question, judge, decoupling=decoupling,
                scoring=scoring, stride=stride, enough=enough, options=options, batch=batch,
                cache=cache, progress=progress, lap=clock.lap)
    sharing = Sharing(rule, power, temperature, guard, floor, resizer)
    assignment = seen.assign(token_budget, sharing)
    with torch.no_grad():
        shown = show(seen.features, assignment, seen.times, seen.duration, resizer)
        clock.lap("resize")
        prompt = adapter.prompt(model, parts, seen.question, shown)
        text = generate(adapter, model, parts, prompt, max_new_tokens=max_new_tokens)
    clock.lap("answer")
    unread = (seen.asked.note,) if seen.asked.note and decoupling != "off" else ()
    notes = (*taken.notes, *unread, *assignment.notes)
    return Answer(text, seen.asked, seen.scores, assignment, tuple(seen.times.of.tolist()),
                  len(prompt), clock.seconds, notes, clock.processor,
                  None if seen.read is None else tuple(seen.read.tolist()))
