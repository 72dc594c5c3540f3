"""Fixtures of the models room: each tiny model is built once."""

from __future__ import annotations

import pytest
import torch
from models.families import build
from torch import nn

_BUILT: dict[str, nn.Module] = {}


@pytest.fixture(autouse=True)
def _few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def family_model(request: pytest.FixtureRequest) -> nn.Module:
    """The model of the family that the test is parametrised with; not to be changed."""
    family = request.param
    if family not in _BUILT:
        _BUILT[family] = build(family)
    return _BUILT[family]
