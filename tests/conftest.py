"""Settings of the whole test run."""

from __future__ import annotations

import os

import hypothesis

# The hub must never be asked: tests run without a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

# Timing on a shared machine is no property of the code; the same examples every time.
hypothesis.settings.register_profile("neurosparse", deadline=None, derandomize=True)
hypothesis.settings.load_profile("neurosparse")
