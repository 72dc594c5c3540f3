"""Fixtures of the video room."""

from __future__ import annotations

from pathlib import Path

import pytest
from one_thread import one_thread  # noqa: F401
from video.video_files import write_video


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames in three seconds, a key frame every five."""
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", codec="libx264")
