"""Cheaper scoring: every few frames first, then only where that looks promising."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.video.decouple import Decoupled
from neurosparse.video.score import FrameScores, combine, score_frames
from neurosparse.video.scorers import ScoreFunction, Scorer

Ints = NDArray[np.int64]


def score_coarse_to_fine(
    pictures: Sequence[NDArray[np.uint8]], asked: Decoupled | str,
    scorer: Scorer | ScoreFunction, *, stride: int = 4, most: int | None = None,
    enough: int | None = None, batch: int = 16, cache: str | Path | None = None,
    progress: Progress = silent,
) -> tuple[FrameScores, Ints]:
    """Score every ``stride``-th frame, then the stretches between the best of them.

    For videos in which neighbouring frames are alike: a thing that is seen for less than
    ``stride`` frames may be passed over. Stretches are read in the order of the better score at
    their two ends. Frames that are never read get readings on the line between their neighbours.

    Parameters
    ----------
    pictures, asked, scorer, batch, cache, progress
        As for :func:`score_frames`.
    stride
        Of the first pass; 1 reads every frame.
    most
        Frames to read at most, first pass included; half of them all where None.
    enough
        Stop early when so many frames read have a score above a half; never where None.

    Returns
    -------
    scores
        Of all frames.
    read
        Numbers of the frames that were read, increasing.

    Raises
    ------
    InputError
        A stride or a number below 1, or as for :func:`score_frames`.
    """
    count = len(pictures)
    limit = max(1, count // 2) if most is None else most
    if stride < 1 or limit < 1 or (enough is not None and enough < 1):
        raise InputError("score frames", found=f"stride={stride}, most={most}, enough={enough}",
                         expected="1 or more")
    first = sorted({*range(0, count, stride), *([count - 1] if count else [])})
    readings: dict[int, NDArray[np.float64]] = {}
    name, scaled = "", True

    def read(places: list[int]) -> None:
        nonlocal name, scaled
        found = score_frames([pictures[at] for at in places], asked, scorer, batch=batch,
                             cache=cache, progress=progress)
        name, scaled = found.scorer, found.scaled
        readings.update(zip(places, found.readings.T, strict=True))

    read(first)
    ends = sorted(readings)

    def promise(stretch: tuple[int, int]) -> float:
        return -max(float(np.nan_to_num(readings[at].mean(), nan=-np.inf)) for at in stretch)

    for start, stop in sorted(pairwise(ends), key=promise):
        seen = sum(float(one.mean()) > 0.5 for one in readings.values())
        inside = list(range(start + 1, stop))[: max(0, limit - len(readings))]
        if not inside or (enough is not None and seen >= enough):
            continue
        read(inside)
    places = np.array(sorted(readings), np.int64)
    table = np.stack([readings[at] for at in places.tolist()], axis=1)
    whole = np.stack([np.interp(np.arange(count), places, row) for row in table])
    return combine(whole, name, scaled, trusted=places), places
