"""What a video holds: the time of every frame and where decoding may start, without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import FormatError, InputError
from neurosparse.extras import extras_named


@dataclass(frozen=True)
class VideoIndex:
    """Every frame of a video by its time stamp.

    Attributes
    ----------
    path
        The file.
    stamps
        Presentation time stamps in units of ``time_base``, increasing, shape (frames,).
    keys
        Those at which decoding can start, increasing.
    time_base
        Seconds of one unit.
    duration
        Seconds from the first frame to the end of the last.
    width, height
        Of the picture as it is stored, in pixels.
    """

    path: Path
    stamps: NDArray[np.int64]
    keys: NDArray[np.int64]
    time_base: Fraction
    duration: float
    width: int
    height: int

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds from the first frame, shape (frames,)."""
        return np.asarray((self.stamps - self.stamps[0]) * float(self.time_base), float)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream.

    Raises
    ------
    InputError
        No such file.
    FormatError
        FFmpeg cannot read it, or it holds no video.
    """
    with extras_named():
        import av
    if not path.is_file():
        raise InputError(f"read {path}", found="no such file", expected="a video file")
    if not path.stat().st_size:
        raise FormatError(f"read {path}", found="an empty file", expected="a video")
    try:
        container = av.open(str(path))
    except av.FFmpegError as error:
        raise FormatError(f"read {path}", found=f"{error.strerror}",
                          expected="a video that FFmpeg can read") from error
    with container:
        if not container.streams.video:
            raise FormatError(f"read {path}", found="no video stream", expected="a video")
        yield container, container.streams.video[0]


def index_video(path: str | Path) -> VideoIndex:
    """Read the time stamps of all frames; packets are read and not decoded.

    Real stamps and not ``index / rate``: a variable frame rate needs nothing more. Memory is 8
    bytes a frame.

    Parameters
    ----------
    path
        Anything FFmpeg reads.

    Raises
    ------
    InputError
        No such file.
    FormatError
        It cannot be read, holds no video stream, or the stream holds no frame.
    """
    source = Path(path)
    stamps: list[int] = []
    keys: list[int] = []
    lengths: dict[int, int] = {}
    with opened(source) as (container, stream):
        import av

        try:
            for packet in container.demux(stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None or not packet.size:
                    continue  # the flush packet at the end, or an empty one that repeats a frame
                stamps.append(stamp)
                lengths[stamp] = packet.duration or 0
                if packet.is_keyframe:
                    keys.append(stamp)
        except av.FFmpegError as error:
            if not stamps:
                raise FormatError(f"read {source}", found=f"{error.strerror}",
                                  expected="a video that FFmpeg can read") from error
        ordered = np.unique(np.array(stamps, np.int64))
        if not len(ordered) or stream.time_base is None:
            raise FormatError(f"read {source}", found="a video without frames",
                              expected="one frame or more")
        unit = stream.time_base
        last = lengths[int(ordered[-1])]
        width, height = int(stream.width), int(stream.height)
    span = float((int(ordered[-1]) - int(ordered[0]) + last) * unit)
    return VideoIndex(source, ordered, np.unique(np.array(keys, np.int64)), unit, span,
                      width, height)
