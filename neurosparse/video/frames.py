"""Frames of a video file: chosen by time, decoded one at a time, seeking from key frame to key
frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import FormatError, InputError
from neurosparse.progress import Progress, silent
from neurosparse.video.decoder import Decoder
from neurosparse.video.index import VideoIndex, index_video
from neurosparse.video.sampling import frame_count, uniform_indices

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Frames:
    """Frames in the order of time.

    Attributes
    ----------
    pictures
        RGB arrays of shape (height, width, 3).
    times
        Seconds from the first frame of the video, shape (frames,).
    duration
        Of the whole video, in seconds.
    notes
        What was not as asked: frames that could not be decoded.
    """

    pictures: tuple[Picture, ...]
    times: NDArray[np.float64]
    duration: float
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)


def sample_frames(
    video: str | Path, count: int | None = None, *, base: int = 96, per_hour: int = 64,
    most: int | None = None, side: int | None = None, progress: Progress = silent,
) -> Frames:
    """Take frames uniformly over a whole video.

    Memory is that of the frames taken; ``side`` bounds it where the pictures are large.

    Parameters
    ----------
    video
        A file.
    count
        Frames to take; :func:`frame_count` of the duration where None.
    base, per_hour, most
        As for :func:`frame_count`.
    side
        Pixels: pictures whose longer side is longer are scaled down to it while decoding.
    progress
        Called after each frame.

    Raises
    ------
    InputError
        No such file, or a count or side below 1.
    FormatError
        The file is not a video, or none of the frames can be decoded.

    References
    ----------
    QuoTA (arXiv 2503.08689), dynamic frame sampling.
    """
    index = index_video(video)
    wanted = count if count is not None else frame_count(
        index.duration, base=base, per_hour=per_hour, most=most)
    chosen = uniform_indices(index.times, wanted)
    pictures: list[Picture] = []
    times: list[float] = []
    for place, picture in read_frames(index, chosen, side=side):
        pictures.append(picture)
        times.append(float(index.times[place]))
        progress("decode", len(pictures), len(chosen))
    lost = len(chosen) - len(pictures)
    if not pictures:
        raise FormatError(f"read {index.path}", found="no frame that can be decoded",
                          expected="one or more")
    notes = (f"{lost} of {len(chosen)} frames could not be decoded",) if lost else ()
    return Frames(tuple(pictures), np.array(times), index.duration, notes)


def read_frames(
    index: VideoIndex, places: Sequence[int] | NDArray[np.int64], *, side: int | None = None
) -> Iterator[tuple[int, Picture]]:
    """Decode some frames, one held at a time.

    Seeks where a key frame lies between here and the next frame wanted, and decodes forward
    where none does; what comes out is what decoding from the start gives.

    Parameters
    ----------
    index
        Of the video.
    places
        Increasing numbers of frames.
    side
        As for :func:`sample_frames`.

    Yields
    ------
    place, picture
        The number of a frame, and its RGB array of shape (height, width, 3). Frames that cannot
        be decoded are left out.

    Raises
    ------
    InputError
        Numbers that do not increase or that the video lacks, or a side below 1.
    """
    wanted = np.asarray(places, np.int64)
    if len(wanted) and (np.any(np.diff(wanted) <= 0) or wanted[0] < 0
                        or wanted[-1] >= len(index.stamps)):
        raise InputError("read frames", found=f"frames {wanted.tolist()[:8]}",
                         expected=f"increasing numbers below {len(index.stamps)}")
    if side is not None and side < 1:
        raise InputError("read frames", found=f"side={side}", expected="1 pixel or more")
    with Decoder(index) as decoder:
        for place in wanted.tolist():
            frame = decoder.frame_at(int(index.stamps[place]))
            if frame is not None:
                yield place, _picture(frame, side, (index.width, index.height))


def _picture(frame: Any, side: int | None, size: tuple[int, int]) -> Picture:
    # The size of the stream, and not of the frame: a stream may change it on the way, and the
    # frames of one video go through a model together.
    width, height = size if min(size) > 0 else (frame.width, frame.height)
    longest = max(width, height)
    if side is not None and longest > side:
        width, height = (max(1, round(n * side / longest)) for n in (width, height))
    scaled = frame
    if (width, height) != (frame.width, frame.height):
        scaled = frame.reformat(width=width, height=height)
    return _upright(scaled.to_ndarray(format="rgb24"), _display_matrix(frame))


def _display_matrix(frame: Any) -> NDArray[np.int32] | None:
    found = frame.side_data.get("DISPLAYMATRIX")
    return None if found is None else np.frombuffer(bytes(found), np.int32)


def _upright(picture: Picture, matrix: NDArray[np.int32] | None) -> Picture:
    """As it is to be shown: turned by the nearest quarter turns, and mirrored.

    The matrix takes the place (x, y) of the stored picture to (a x + c y, b x + d y). Its angle
    alone does not tell a mirrored picture from one that stands on its head.
    """
    if matrix is None or len(matrix) < 5:
        return picture
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(a) + abs(d) < abs(b) + abs(c):
        picture, a, d = picture.swapaxes(0, 1), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
