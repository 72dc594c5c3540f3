"""Settings of the whole test run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

# The hub must never be asked: tests run without a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

# Timing on a shared machine is no property of the code; the same examples every time.
hypothesis.settings.register_profile("neurosparse", deadline=None, derandomize=True)
hypothesis.settings.load_profile("neurosparse")


@pytest.fixture(scope="session", autouse=True)
def disk_at_leisure() -> Iterator[None]:
    """``os.fsync`` that does not wait, here and not in the processes that a test starts.

    Thousands of small files would each wait for the disk, for minutes in all. What fsync is for,
    a power cut, no test can bring about; that it is called is tested in ``floor/test_files.py``.
    """
    with pytest.MonkeyPatch.context() as patch:
        # Still an error where the file is closed.
        patch.setattr(os, "fsync", lambda handle: os.fstat(handle) and None)
        yield
