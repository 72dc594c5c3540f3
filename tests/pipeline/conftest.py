"""Settings of the tests of the pipeline."""

from __future__ import annotations

from small_probe import small_probe  # noqa: F401
