"""Fixtures of the sparse room: every instruction level, few threads, some tokens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from one_thread import one_thread  # noqa: F401

from neurosparse import kernels

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=kernels.levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every level of this CPU in turn."""
    with kernels.using(request.param):
        yield request.param


@pytest.fixture
def tokens() -> torch.Tensor:
    """Random ids (2, 12), none of them special."""
    return torch.randint(3, 99, (2, 12), generator=torch.Generator().manual_seed(1))
