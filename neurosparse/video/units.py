"""Frames encoded, a bounded number at a time, into the units that a model shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.video.families import Family, Features
from neurosparse.video.grids import Grid
from neurosparse.video.processor import VideoProcessor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Times:
    """When the units are, in seconds, shape (units,), and the time between neighbours."""

    of: Floats
    spacing: float


def encode_frames(
    family: Family, model: Any, processor: VideoProcessor,
    pictures: Sequence[NDArray[np.uint8]], *, batch: int = 32, progress: Progress = silent,
) -> Features:
    """Features of all frames, ``batch`` frames in the vision part at once.

    Raises
    ------
    InputError
        No frames, or a batch below 1.
    """
    together = family.unit_frames(model)
    if not pictures or batch < 1:
        raise InputError("encode frames", found=f"{len(pictures)} frames in batches of {batch}",
                         expected="1 or more of both")
    step = max(1, batch // together) * together
    parts: list[Features] = []
    with torch.no_grad():
        for start in range(0, len(pictures), step):
            parts.append(family.encode(model, processor, pictures[start : start + step]))
            progress("encode", min(start + step, len(pictures)), len(pictures))
    deep = tuple(torch.cat(layer) for layer in zip(*(part.deep for part in parts), strict=True))
    return Features(torch.cat([part.grids for part in parts]), deep)


def encode_alone(
    family: Family, model: Any, processor: VideoProcessor,
    pictures: Sequence[NDArray[np.uint8]],
) -> Features:
    """Features of frames each for itself: where a unit is several frames, of one repeated."""
    alone = [one for one in pictures for _ in range(family.unit_frames(model))]
    return encode_frames(family, model, processor, alone, batch=max(1, len(alone)))


def full_grid(features: Features) -> Grid:
    """Height and width of the features' grid."""
    return int(features.grids.shape[1]), int(features.grids.shape[2])


def unit_times(times: Floats, together: int) -> Times:
    """Middle times of units of ``together`` frames; the last unit may have fewer."""
    groups = [times[i : i + together] for i in range(0, len(times), together)]
    middles = np.array([float(np.mean(group)) for group in groups])
    spacing = float(times[-1] - times[0]) / (len(times) - 1) * together if len(times) > 1 else 1.0
    return Times(middles, spacing)


def unit_scores(scores: Floats, together: int) -> Floats:
    """The best score among the frames of each unit; not a number only where all are not."""
    groups = [scores[i : i + together] for i in range(0, len(scores), together)]
    return np.array([np.nan if np.isnan(g).all() else np.nanmax(g) for g in groups])
