"""Decoding: which frames come out, of which files, and how many are held."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video.video_files import number_of, write_video

from neurosparse.errors import FormatError, InputError
from neurosparse.video import (
    frame_count,
    frames,
    index_video,
    read_frames,
    sample_frames,
    uniform_indices,
)


def test_dynamic_count_is_the_papers():
    assert frame_count(0) == 96 and frame_count(3600) == 96 + 64
    assert frame_count(7200) == 96 + 128 and frame_count(7200, most=160) == 160
    assert frame_count(1799.9, base=8, per_hour=2) == 8 and frame_count(1800, base=8,
                                                                        per_hour=2) == 9


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_dynamic_count_is_monotone(first, second):
    low, high = sorted((first, second))
    assert frame_count(low) <= frame_count(high)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_dynamic_count_refuses_no_durations(bad):
    with pytest.raises(InputError, match="duration"):
        frame_count(bad)


@given(st.lists(st.floats(0.01, 3), min_size=1, max_size=60), st.integers(1, 80))
def test_uniform_indices_increase_and_reach_both_ends(gaps, count):
    times = np.cumsum(gaps)
    found = uniform_indices(times, count)
    assert np.all(np.diff(found) > 0) and len(found) <= count
    assert found[0] == 0
    if count > 1:
        assert found[-1] == len(times) - 1
    if count >= len(times):
        assert len(found) == len(times)


@given(st.integers(1, 200), st.integers(1, 50))
def test_uniform_indices_at_a_constant_rate_are_evenly_spaced(frames, count):
    found = uniform_indices(np.arange(frames) / 7.0, count)
    assert len(found) == min(count, frames)
    want = np.linspace(0, frames - 1, len(found)) if len(found) > 1 else np.zeros(1)
    assert np.abs(found - want).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_the_right_frames_come_out(tmp_path, codec):
    path = write_video(tmp_path / "a.mp4", 40, codec=codec)
    taken = sample_frames(path, 9)
    assert [number_of(p) for p in taken.pictures] == [0, 5, 10, 15, 20, 24, 29, 34, 39]
    np.testing.assert_allclose(taken.times, np.array([0, 5, 10, 15, 20, 24, 29, 34, 39]) / 10)
    assert taken.duration == pytest.approx(4.0) and not taken.notes


@given(places=st.sets(st.integers(0, 29), min_size=1, max_size=8))
def test_any_frames_by_seeking(clip, places):
    wanted = sorted(places)
    index = index_video(clip)
    assert len(index.keys) > 3  # there is something to seek to
    found = list(read_frames(index, wanted))
    assert [place for place, _ in found] == wanted
    assert [number_of(picture) for _, picture in found] == wanted


@pytest.fixture
def decoded(monkeypatch):
    """Time stamps of all frames that are decoded from now on."""
    found: list[int] = []

    class Counting(frames.Decoder):
        def _decoded(self):
            for frame in super()._decoded():
                found.append(frame.pts)
                yield frame

    monkeypatch.setattr(frames, "Decoder", Counting)
    return found


def test_seeking_leaves_out_what_no_wanted_frame_depends_on(clip, decoded):
    index = index_video(clip)
    assert [place for place, _ in read_frames(index, [0, 27])] == [0, 27]
    assert len(decoded) <= 6  # frame 0, and from the key frame at 25 on; not all 28


def test_frames_are_decoded_when_they_are_asked_for(clip, decoded):
    """A reader that wants 30 frames and has taken 2 has decoded 2, so that no more are held."""
    reader = read_frames(index_video(clip), range(30))
    next(reader), next(reader)
    assert len(decoded) == 2


def test_progress_is_told(clip):
    told = []
    sample_frames(clip, 5, progress=lambda *step: told.append(step))
    assert told == [("decode", i, 5) for i in range(1, 6)]


def test_variable_frame_rate_is_sampled_by_time(tmp_path):
    stamps = [0, 100, 200, 250, 300, 350, 400, 2000, 3000, 3100]
    path = write_video(tmp_path / "v.mkv", 10, stamps=stamps, codec="libx264")
    taken = sample_frames(path, 4)
    # Moments 0, 1.033, 2.067 and 3.1 s; by number they would be frames 0, 3, 6 and 9.
    assert [number_of(p) for p in taken.pictures] == [0, 6, 7, 9]
    np.testing.assert_allclose(taken.times, [0, 0.4, 2.0, 3.1])


def test_one_frame(tmp_path):
    taken = sample_frames(write_video(tmp_path / "one.mp4", 1), 8)
    assert len(taken) == 1 and taken.times.tolist() == [0.0]


@pytest.mark.parametrize("size", [(62, 46), (34, 18), (1, 1)])
def test_odd_sizes_after_scaling(tmp_path, size):
    path = write_video(tmp_path / "odd.mkv", 3, size=size, codec="ffv1")
    taken = sample_frames(path, 2)
    assert taken.pictures[0].shape == (size[1], size[0], 3)
    small = sample_frames(path, 2, side=21)
    longest = max(size)
    assert max(small.pictures[0].shape[:2]) == min(21, longest)
    assert [number_of(p) for p in small.pictures] == [0, 2]


def test_files_that_are_no_videos(tmp_path, clip):
    with pytest.raises(InputError, match="no such file"):
        sample_frames(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(FormatError, match="empty file"):
        sample_frames(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_bytes(b"this is no video " * 50)
    with pytest.raises(FormatError, match=r"text\.mp4"):
        sample_frames(tmp_path / "text.mp4")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:200])
    with pytest.raises(FormatError, match=r"cut\.mp4"):
        sample_frames(tmp_path / "cut.mp4")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(FormatError, match="no video stream"):
        sample_frames(tmp_path / "sound.wav")


def test_a_damaged_stretch_is_left_out_and_said(tmp_path):
    path = write_video(tmp_path / "d.mkv", 30, codec="libx264", size=(128, 96))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for place, size in packets[9:14]:
        data[place + 8 : place + size] = b"\xff" * (size - 8)
    path.write_bytes(data)
    taken = sample_frames(path, 30)
    assert 10 <= len(taken) <= 30
    assert bool(taken.notes) == (len(taken) < 30)
    assert number_of(taken.pictures[0]) == 0 and number_of(taken.pictures[-1]) == 29


def test_wrong_numbers_of_frames_are_refused(clip):
    index = index_video(clip)
    for bad in ([3, 3], [5, 2], [-1], [30]):
        with pytest.raises(InputError, match="increasing numbers"):
            list(read_frames(index, bad))
    with pytest.raises(InputError, match="1 or more"):
        sample_frames(clip, 0)
    with pytest.raises(InputError, match="side=0"):
        sample_frames(clip, 2, side=0)
