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

# Frames a second of a stream that does not say: what FFmpeg takes for raw streams.
_RATE = Fraction(25)
# MPEG-PS (.mpg, .vob) writes a stamp a packet and not a frame. The others are counted on from it,
# and come out differently behind a seek: there is one place to start, the first.
_ONE_START = ("mpeg",)


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
    counted
        Whether the stamps are the numbers of the frames, as the file has none.
    """

    path: Path
    stamps: NDArray[np.int64]
    keys: NDArray[np.int64]
    time_base: Fraction
    duration: float
    width: int
    height: int
    counted: bool = False

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
    bytes a frame. A raw stream (``.h264``) has no stamps: its frames are counted, for which it is
    decoded once, and follow one another at the rate that it says.

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
        if not stamps:
            return _counted(source)
        ordered = np.unique(np.array(stamps, np.int64))
        if stream.time_base is None:
            raise _without_frames(source)
        unit = stream.time_base
        last = lengths[int(ordered[-1])]
        width, height = int(stream.width), int(stream.height)
        starts = keys[:1] if container.format.name in _ONE_START else keys
    span = float((int(ordered[-1]) - int(ordered[0]) + last) * unit)
    return VideoIndex(source, ordered, np.unique(np.array(starts, np.int64)), unit, span,
                      width, height)


def _counted(source: Path) -> VideoIndex:
    import av

    count = 0
    with opened(source) as (container, stream):
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                count += len(packet.decode())
            except av.FFmpegError:
                continue
        width, height = int(stream.width), int(stream.height)
        rate = stream.average_rate or stream.guessed_rate or _RATE
    if not count:
        raise _without_frames(source)
    unit = 1 / Fraction(rate)
    return VideoIndex(source, np.arange(count, dtype=np.int64), np.zeros(1, np.int64), unit,
                      float(count * unit), width, height, counted=True)


def _without_frames(source: Path) -> FormatError:
    return FormatError(f"read {source}", found="a video without frames",
                       expected="one frame or more")
