"""Fixtures of the video room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from video.video_files import write_video


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames in three seconds, a key frame every five."""
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", codec="libx264")
