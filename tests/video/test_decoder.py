"""What seeking gives is what decoding from the start gives, in every container."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from video.video_files import colour_of, number_of, write_video

from neurosparse.video import index_video, read_frames, sample_frames
from neurosparse.video.decoder import Decoder
from neurosparse.video.frames import _upright


def _from_the_start(path: Path) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            stamp = frame.pts if frame.pts is not None else frame.dts
            found.setdefault(stamp, frame.to_ndarray(format="rgb24"))
    return found


@pytest.mark.parametrize(("name", "codec"), [
    ("a.ts", "libx264"), ("a.m2ts", "libx264"), ("b.ts", "mpeg2video"), ("c.ts", "mpeg4"),
    ("a.mpg", "mpeg2video"), ("a.vob", "mpeg2video"),
    ("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9")])
def test_no_frame_of_an_intact_file_is_lost(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, 60, codec=codec, rate=25)
    want, index = _from_the_start(path), index_video(path)
    assert index.stamps.tolist() == sorted(want) and len(want) >= 59
    rng = np.random.default_rng(0)
    for count in (1, 1, 1, 2, 2, 5, 5, 12, 24):
        places = np.sort(rng.choice(len(want), count, replace=False))
        got = list(read_frames(index, places))
        assert [place for place, _ in got] == places.tolist()
        for place, picture in got:
            np.testing.assert_array_equal(picture, want[int(index.stamps[place])])
    assert not sample_frames(path, 24).notes


def test_an_inexact_seek_is_found_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                           ) -> None:
    """Later seeks of the same file begin earlier at once; none goes back to the start."""
    index = index_video(write_video(tmp_path / "a.ts", 120, codec="libx264", rate=25))
    assert len(index.keys) > 12
    jumps: list[int] = []
    whole = Decoder._jump
    monkeypatch.setattr(Decoder, "_jump",
                        lambda self, key: jumps.append(key) or whole(self, key))
    places = range(8, 120, 12)
    assert [place for place, _ in read_frames(index, places)] == list(places)
    assert min(jumps) >= 0 and len(jumps) <= len(places) + 1


def test_a_file_that_cannot_seek_is_decoded_forward(clip: Path, monkeypatch: pytest.MonkeyPatch
                                                    ) -> None:
    begun: list[object] = []
    whole = Decoder._restart

    def restart(self: Decoder) -> None:
        whole(self)
        begun.append(self)
        container = self._container

        class Unseekable:
            def __getattr__(self, name: str) -> object:
                if name == "seek":
                    raise av.FFmpegError(1, "Operation not permitted")
                return getattr(container, name)

        self._container = Unseekable()

    monkeypatch.setattr(Decoder, "_restart", restart)
    found = list(read_frames(index_video(clip), [3, 17, 28]))
    assert [number_of(picture) for _, picture in found] == [3, 17, 28] and len(begun) == 2


@pytest.mark.parametrize("name", ["a.h264", "a.hevc"])
def test_frames_of_a_raw_stream_are_counted(tmp_path: Path, name: str) -> None:
    codec = "libx264" if name.endswith("264") else "libx265"
    path = write_video(tmp_path / name, 30, codec=codec, rate=25)
    index = index_video(path)
    assert index.counted and index.duration == pytest.approx(30 / 25)
    taken = sample_frames(path, 5)
    assert [number_of(picture) for picture in taken.pictures] == [0, 7, 14, 22, 29]
    np.testing.assert_allclose(taken.times, np.array([0, 7, 14, 22, 29]) / 25)


_TURNS = [(a, b, c, d) for a, b, c, d in itertools.product((-1, 0, 1), repeat=4)
          if abs(a) == abs(d) and abs(b) == abs(c) and abs(a) + abs(b) == 1]


@pytest.mark.parametrize("entries", _TURNS)
def test_every_pixel_goes_where_the_matrix_says(entries: tuple[int, int, int, int]) -> None:
    assert len(_TURNS) == 8
    a, b, c, d = entries
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    shown = _upright(stored, 65536 * np.array([a, b, 0, c, d, 0, 0, 0, 16384], np.int32))
    across = np.array([[a * x + c * y for x in range(3)] for y in range(2)])
    down = np.array([[b * x + d * y for x in range(3)] for y in range(2)])
    np.testing.assert_array_equal(shown[down - down.min(), across - across.min()], stored)


@pytest.mark.parametrize("side", [None, 32])
def test_a_mirrored_clip_stays_on_its_feet(tmp_path: Path, side: int | None) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:24], picture[24:, :32] = colour_of(100), colour_of(4)  # red below, on the left
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", -65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (shown,) = sample_frames(path, 1, side=side).pictures
    high, wide = (n // 4 for n in shown.shape[:2])
    assert number_of(shown[high - 2 : high + 2]) == 100  # the upper half has stayed above
    below = shown[3 * high].astype(int)
    assert below[3 * wide, 0] > 150 > 40 > below[wide, 0]
