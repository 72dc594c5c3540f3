"""A fixture for folders that measure the memory's speed on the way to something else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neurosparse.measure import ReadProbe


@pytest.fixture(scope="module", autouse=True)
def small_probe() -> Iterator[None]:
    """A buffer of 4 MiB: filling and reading 256 MiB takes longer than all else of a tiny model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReadProbe.__init__, "__defaults__", (4 << 20,))
        yield
