"""Small synthetic videos, written by PyAV: the picture tells which frame it is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def colour_of(index: int) -> tuple[int, int, int]:
    """Far enough apart to survive the codec."""
    return (20 + 40 * (index % 5), 20 + 40 * (index // 5 % 5), 20 + 40 * (index // 25 % 5))


def write_video(
    path: Path, frames: int = 30, *, size: tuple[int, int] = (64, 48), rate: int = 10,
    stamps: Sequence[int] | None = None, codec: str = "mpeg4", keys: int = 6,
) -> Path:
    """Frames of one colour each; ``stamps`` are in milliseconds where given."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = keys
        stream.bit_rate = 2_000_000
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(frames):
            picture = np.zeros((size[1], size[0], 3), np.uint8) + np.array(
                colour_of(i), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = i if stamps is None else stamps[i]
            frame.time_base = Fraction(1, rate) if stamps is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number_of(picture: np.ndarray) -> int:
    """Which frame a picture is of, in videos of at most 125 frames."""
    r, g, b = ((picture.reshape(-1, 3).mean(0) - 20) / 40).round().astype(int).tolist()
    return r + 5 * g + 25 * b
