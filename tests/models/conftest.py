"""Fixtures of the models room: each tiny model is built once."""

from __future__ import annotations

import pytest
from models.families import build
from one_thread import one_thread  # noqa: F401
from torch import nn

_BUILT: dict[str, nn.Module] = {}


@pytest.fixture
def family_model(request: pytest.FixtureRequest) -> nn.Module:
    """The model of the family that the test is parametrised with; not to be changed."""
    family = request.param
    if family not in _BUILT:
        _BUILT[family] = build(family)
    return _BUILT[family]
