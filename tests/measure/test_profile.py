"""Profiles: local error curves against direct products, sizes, norms, streamed models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model, write_tiny

from neurosparse.errors import InputError, ModelError
from neurosparse.measure import generation_speed, local_error, profile, python_share, sizes_only
from neurosparse.models import load
from neurosparse.pruning import InputStatistics, find_method, lowest_by_row


def _tokens(windows: int = 3, length: int = 20) -> torch.Tensor:
    return torch.randint(0, 100, (windows, length), generator=torch.Generator().manual_seed(3))


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 30), st.integers(0, 99),
       st.sampled_from(["wanda", "magnitude"]))
def test_local_error_is_that_of_the_products(rows: int, width: int, tokens: int, seed: int,
                                             method: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, width, generator=generator)
    inputs = torch.randn(tokens, width, generator=generator)
    statistics = InputStatistics(width, gram=True)
    statistics.add(inputs[: tokens // 2])
    statistics.add(inputs[tokens // 2 :])
    way = find_method(method)
    for level in (0.0, 0.3, 0.8, 1.0):
        keep = lowest_by_row(way.scores(weight, statistics), round(level * weight.numel()))
        dense, sparse = inputs @ weight.T, inputs @ (weight * keep).T
        expected = float((dense - sparse).square().sum() / dense.square().sum())
        found = local_error(weight, statistics, way, [level])[0]
        assert found == pytest.approx(expected, rel=2e-3, abs=1e-6)


def test_wanda_error_of_uncorrelated_inputs_is_the_removed_score() -> None:
    """papers.md 2e: with X^T X diagonal the error is the sum of the removed squared scores."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 8, generator=generator)
    statistics = InputStatistics(8, gram=True)
    statistics.add(torch.diag(torch.rand(8, generator=generator) + 0.1))
    way = find_method("wanda")
    squares = way.scores(weight, statistics).double().square()
    keep = lowest_by_row(squares.sqrt(), 24)
    expected = float(squares[~keep].sum() / squares.sum())
    assert local_error(weight, statistics, way, [0.5])[0] == pytest.approx(expected, rel=1e-5)


def test_profile_of_a_model() -> None:
    model = tiny_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = profile(model, _tokens(), levels=(0.2, 0.5, 1.0), batch_size=2)
    assert len(found.names) == 21 and found.curves is not None
    assert int(found.sizes.sum()) == sum(
        p.numel() for n, p in model.model.layers.named_parameters() if "norm" not in n)
    assert np.all(np.diff(found.curves.error, axis=1) > 0)
    assert np.allclose(found.curves.error[:, -1], 1.0, atol=1e-5)
    index = found.names.index("model.layers.1.mlp.up_proj")
    weight = model.model.layers[1].mlp.up_proj.weight
    assert found.norms[index] == pytest.approx(float(weight.norm()), rel=1e-6)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_streamed_profile_is_the_same(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "m")
    whole = profile(load(str(folder)).model, _tokens(), levels=(0.5,))
    streamed = profile(load(str(folder), stream=True).model, _tokens(), levels=(0.5,))
    assert streamed.names == whole.names and streamed.model["sha256"] == whole.model["sha256"]
    assert np.array_equal(streamed.curves.error, whole.curves.error)  # type: ignore[union-attr]


def test_profile_refuses_bad_input() -> None:
    with pytest.raises(InputError, match="levels"):
        profile(tiny_model(), _tokens(), levels=(1.2,))
    model = tiny_model()
    model.model.layers[2].self_attn.v_proj.weight[0, 0] = float("inf")
    with pytest.raises(ModelError, match="v_proj"):
        profile(model, _tokens())


def test_exclude_leaves_linears_out() -> None:
    assert len(sizes_only(tiny_model(), exclude=["*.down_proj"]).names) == 18


def test_generation_speed_counts_what_it_says() -> None:
    speed = generation_speed(tiny_model(), _tokens(1, 8), steps=5, repeats=2)
    assert speed.prefill > 0 and speed.decode > 0
    assert 0 <= python_share(tiny_model(), _tokens(1, 8)) <= 1
    assert (speed.prompt, speed.steps) == (8, 5)
    with pytest.raises(InputError, match="prompt"):
        generation_speed(tiny_model(), _tokens(2, 8))
