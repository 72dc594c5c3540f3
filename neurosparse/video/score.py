"""Frames scored for a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.video.cache import ScoreCache, pictures_hash
from neurosparse.video.decouple import Decoupled
from neurosparse.video.families import Features
from neurosparse.video.scorers import FeatureScorer, FunctionScorer, ScoreFunction, Scorer
from neurosparse.video.weights import agreement

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FrameScores:
    """What a scorer says of the frames.

    Attributes
    ----------
    readings
        Shape (readings, frames); NaN where the scorer had no answer.
    scores
        Mean of the readings, in [0, 1] for the scorers here, shape (frames,).
    trust
        Agreement of the readings, in [0, 1]: the guard's ``trust``.
    scorer
        Its name.
    scaled
        As for :class:`Scorer`.
    """

    readings: Floats
    scores: Floats
    trust: float
    scorer: str
    scaled: bool = True


def as_scorer(scorer: Scorer | ScoreFunction) -> Scorer:
    """A scorer as it is, or one made of a function of (pictures, question).

    Raises
    ------
    InputError
        Neither of the two.
    """
    if isinstance(scorer, Scorer):
        return scorer
    if not callable(scorer):
        raise InputError("score frames", found=f"scorer={scorer!r}",
                         expected="a scorer, or function(pictures, question)")
    return FunctionScorer(scorer, f"function {getattr(scorer, '__qualname__', repr(scorer))}")


def score_frames(
    pictures: Sequence[NDArray[np.uint8]], asked: Decoupled | str,
    scorer: Scorer | ScoreFunction, *, batch: int = 16, cache: str | Path | None = None,
    features: Features | None = None, progress: Progress = silent,
) -> FrameScores:
    """Score every frame for a question.

    Parameters
    ----------
    pictures
        RGB arrays of shape (height, width, 3).
    asked
        The question, decoupled or plain.
    scorer
        Of :mod:`neurosparse.video.scorers`, or a function of (pictures, question) that gives one
        number a frame.
    batch
        Frames that the scorer gets at once.
    cache
        Folder of scores, found again by the frames' hash, the question and the scorer's name.
        A function has the name of its code's place alone: wrap it in ``FunctionScorer`` with a
        name of your own before you cache what it says.
    features
        Of the same frames, one unit a frame, by the model that the scorer asks: they are not
        encoded again.
    progress
        Called after each batch.

    Raises
    ------
    InputError
        No frames, a batch below 1, features that are not of these frames or that the scorer has
        no use for, or a scorer that does not give one number a frame.
    FormatError
        A damaged file in the cache.

    References
    ----------
    QuoTA (arXiv 2503.08689), frame scoring.
    """
    if not pictures or batch < 1:
        raise InputError("score frames", found=f"{len(pictures)} frames in batches of {batch}",
                         expected="1 or more of both")
    question = Decoupled(asked) if isinstance(asked, str) else asked
    judge = as_scorer(scorer)
    reader = _reader(judge, features, len(pictures))
    words = " | ".join((question.question, question.scoring_question()))
    kept = None if cache is None else ScoreCache(cache)
    video = pictures_hash(pictures) if kept is not None else ""
    readings = None if kept is None else kept.get(video, words, judge.name)
    if readings is None:
        parts = []
        for start in range(0, len(pictures), batch):
            some = pictures[start : start + batch]
            part = np.asarray(
                judge.read(some, question) if reader is None or features is None else
                reader.read_features(
                    features.of(range(start, start + len(some))), question), float)
            if part.ndim != 2 or part.shape[1] != len(some):
                raise InputError(f"score frames by {judge.name}", found=f"shape {part.shape}",
                                 expected=f"(readings, {len(some)})")
            parts.append(part)
            progress("score", min(start + batch, len(pictures)), len(pictures))
        readings = np.concatenate(parts, axis=1)
        if kept is not None:
            kept.put(video, words, judge.name, readings)
    return combine(readings, judge.name, judge.scaled, layout=layout_of(judge))


def _reader(judge: Scorer, features: Features | None, frames: int) -> FeatureScorer | None:
    """Who is given the features, None where there are none."""
    if features is None:
        return None
    if not isinstance(judge, FeatureScorer) or len(features.grids) != frames:
        raise InputError(f"score frames by {judge.name}",
                         found=f"features of {len(features.grids)} units",
                         expected=f"those of {frames} frames, and a scorer that reads features")
    return judge


def layout_of(scorer: Scorer) -> tuple[int, int] | None:
    """In which two ways the readings differ, where the scorer says so."""
    found: tuple[int, int] | None = getattr(scorer, "layout", None)
    return found


def combine(readings: Floats, name: str, scaled: bool, *,
            trusted: NDArray[np.int64] | None = None,
            layout: tuple[int, int] | None = None) -> FrameScores:
    """Scores of readings: their mean, and how far they agree.

    Parameters
    ----------
    readings
        Shape (readings, frames).
    name, scaled
        Of the scorer.
    trusted
        Frames whose readings may tell of the scorer; all where None.
    layout
        As for :func:`agreement`.
    """
    values = readings if scaled else _scaled(readings)
    missing = np.isnan(values).all(axis=0)
    counts = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    mean = np.where(missing, np.nan, np.nansum(values, axis=0) / counts)
    told = readings if trusted is None else readings[:, trusted]
    return FrameScores(readings, mean, _trust(told, layout), name, scaled)


def _trust(readings: Floats, layout: tuple[int, int] | None) -> float:
    """Agreement over the frames that every reading has an answer for."""
    whole = np.isfinite(readings).all(axis=0)
    if len(readings) < 2:
        return 1.0
    if whole.sum() < 4:
        return float(readings.shape[1] < 4)
    return agreement(readings[:, whole], layout=layout)


def _scaled(readings: Floats) -> Floats:
    """Each reading from 0 to 1 over the video; zeros where it does not vary."""
    finite = np.where(np.isfinite(readings), readings, np.nan)
    if np.isnan(finite).all():
        return finite
    low = np.nanmin(finite, axis=1, keepdims=True)
    span = np.nanmax(finite, axis=1, keepdims=True) - low
    return np.asarray((finite - low) / np.where(span > 0, span, 1.0), float)
