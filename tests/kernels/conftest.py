"""Every level of this CPU, the NumPy twin included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neurosparse import kernels


@pytest.fixture(params=kernels.levels(), scope="module")
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.using(request.param):
        yield request.param


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = kernels.threads()
    yield
    kernels.set_threads(before)
