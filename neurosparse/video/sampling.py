"""How many frames to take from a video, and which."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError

Ints = NDArray[np.int64]


def frame_count(
    duration: float, *, base: int = 96, per_hour: int = 64, most: int | None = None
) -> int:
    """Frames to take from a video of some length: ``base + floor(per_hour * duration / 3600)``.

    Parameters
    ----------
    duration
        Length in seconds.
    base, per_hour
        Frames of a very short video, and frames that each hour adds (96 and 64 in the paper).
    most
        No more than this; no limit where None, as in the paper.

    Raises
    ------
    InputError
        A duration that is negative or not finite, or a count that is not positive.

    References
    ----------
    QuoTA (arXiv 2503.08689), dynamic frame sampling.
    """
    if not math.isfinite(duration) or duration < 0:
        raise InputError("count frames", found=f"duration={duration!r}", expected="seconds, >= 0")
    if base < 1 or per_hour < 0 or (most is not None and most < 1):
        raise InputError("count frames", found=f"base={base}, per_hour={per_hour}, most={most}",
                         expected="base >= 1, per_hour >= 0 and most >= 1")
    count = base + math.floor(per_hour * duration / 3600)
    return count if most is None else min(count, most)


def uniform_indices(times: ArrayLike, count: int) -> Ints:
    """Frames nearest to ``count`` equally spaced moments from the first frame to the last.

    The moments are equally spaced in seconds, so that a stretch with a high frame rate gets no
    more frames than a slow one. At a constant rate these are equally spaced frames.

    Parameters
    ----------
    times
        Increasing times of all frames in seconds, array of shape (frames,).
    count
        Frames asked.

    Returns
    -------
    array of shape (at most ``count``,)
        Strictly increasing indices; the first frame and the last are among them where
        ``count`` is 2 or more. Fewer than ``count`` where the video has fewer, or where two
        moments fall on one frame (a gap in the video).

    Raises
    ------
    InputError
        No frames, times that do not increase, or a count below 1.
    """
    when = np.asarray(times, float)
    if when.ndim != 1 or not len(when) or np.any(np.diff(when) <= 0):
        raise InputError("sample frames", found=f"times of shape {when.shape}",
                         expected="a row of increasing times")
    if count < 1:
        raise InputError("sample frames", found=f"{count} frames", expected="1 or more")
    if count >= len(when):
        return np.arange(len(when), dtype=np.int64)
    moments = np.linspace(when[0], when[-1], count)
    after = np.clip(np.searchsorted(when, moments), 1, len(when) - 1)
    nearer_before = moments - when[after - 1] <= when[after] - moments
    return np.unique(np.where(nearer_before, after - 1, after)).astype(np.int64)
