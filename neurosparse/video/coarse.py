"""Cheaper scoring: every few frames first, then only where that looks promising."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.video.decouple import Decoupled
from neurosparse.video.families import Features
from neurosparse.video.score import FrameScores, as_scorer, combine, layout_of, score_frames
from neurosparse.video.scorers import ScoreFunction, Scorer

Ints = NDArray[np.int64]
Scoring = Literal["full", "coarse"]
SCORINGS: tuple[Scoring, ...] = ("full", "coarse")


def score_coarse_to_fine(
    pictures: Sequence[NDArray[np.uint8]], asked: Decoupled | str,
    scorer: Scorer | ScoreFunction, *, stride: int = 4, most: int | None = None,
    enough: int | None = None, batch: int = 16, cache: str | Path | None = None,
    features: Features | None = None, progress: Progress = silent,
) -> tuple[FrameScores, Ints]:
    """Score every ``stride``-th frame, then the stretches between the best of them.

    For videos in which neighbouring frames are alike: a thing that is seen for less than
    ``stride`` frames may be passed over. Stretches are read in the order of the better score at
    their two ends. Frames that are never read get readings on the line between their neighbours.

    Parameters
    ----------
    pictures, asked, scorer, batch, cache, features, progress
        As for :func:`score_frames`.
    stride
        Of the first pass; 1 reads every frame.
    most
        Frames to read at most, first pass included; half of them all where None.
    enough
        Stop early when so many frames read have a score above a half; never where None. Stretches
        are then read one by one, else as many at once as make a batch.

    Returns
    -------
    scores
        Of all frames.
    read
        Numbers of the frames that were read, increasing.

    Raises
    ------
    InputError
        A stride or a number below 1, ``enough`` of a scorer whose readings are no relevances, or
        as for :func:`score_frames`.
    """
    count = len(pictures)
    limit = max(1, count // 2) if most is None else most
    if stride < 1 or limit < 1 or (enough is not None and enough < 1):
        raise InputError("score frames", found=f"stride={stride}, most={most}, enough={enough}",
                         expected="1 or more")
    first = sorted({*range(0, count, stride), *([count - 1] if count else [])})
    judge = as_scorer(scorer)
    if enough is not None and not judge.scaled:
        raise InputError(f"score frames by {judge.name}", found=f"enough={enough}",
                         expected="a scorer whose readings are relevances: a half of a cosine "
                                  "means nothing")
    readings: dict[int, NDArray[np.float64]] = {}

    def read(places: list[int]) -> None:
        found = score_frames(
            [pictures[at] for at in places], asked, judge, batch=batch, cache=cache,
            features=None if features is None else features.of(places), progress=progress)
        readings.update(zip(places, found.readings.T, strict=True))

    read(first)

    def promise(stretch: tuple[int, int]) -> float:
        return -max(float(np.nan_to_num(readings[at].mean(), nan=-np.inf)) for at in stretch)

    waiting: list[int] = []
    for start, stop in sorted(pairwise(sorted(readings)), key=promise):
        seen = sum(float(one.mean()) > 0.5 for one in readings.values())
        if enough is not None and seen >= enough:
            break
        room = max(0, limit - len(readings) - len(waiting))
        waiting += range(start + 1, stop)[:room]
        if waiting and (enough is not None or len(waiting) >= batch):
            read(waiting)
            waiting = []
    if waiting:
        read(waiting)
    places = np.array(sorted(readings), np.int64)
    table = np.stack([readings[at] for at in places.tolist()], axis=1)
    whole = np.stack([np.interp(np.arange(count), places, row) for row in table])
    return combine(whole, judge.name, judge.scaled, trusted=places,
                   layout=layout_of(judge)), places
