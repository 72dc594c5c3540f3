"""Changing ranks changes nothing that was learnt."""

from __future__ import annotations

import pytest
import torch
from losa_cases import randomise, sparse_model, tiny_windows
from peft import inject_adapter_in_model

from neurosparse.adaptation import adapters_of, lora_config, set_rank
from neurosparse.adaptation.rerank import _turn, _turn_moments
from neurosparse.errors import InputError

X = tiny_windows(2, 16)


def _model() -> torch.nn.Module:
    model = sparse_model()
    inject_adapter_in_model(lora_config(model, 6), model)
    randomise(model)
    return model


@pytest.mark.parametrize("ranks", [(3,), (1,), (2, 6), (4, 2, 5)])
def test_output_stays(ranks: tuple[int, ...]) -> None:
    model = _model()
    out = model(X).logits
    for rank in ranks:
        for layer in adapters_of(model).values():
            set_rank(layer, rank)
    torch.testing.assert_close(model(X).logits, out, rtol=1e-4, atol=1e-5)


def test_the_largest_singular_values_stay() -> None:
    layer = next(iter(adapters_of(_model()).values()))
    a, b = layer.factors("default")
    whole = torch.linalg.svdvals((b @ a).double())
    set_rank(layer, 2)
    a, b = layer.factors("default")
    assert a.shape[0] == 2
    torch.testing.assert_close(torch.linalg.svdvals((b @ a).double())[:2], whole[:2],
                               rtol=1e-5, atol=1e-6)


def test_zeros_stay_when_directions_go_into_the_weight() -> None:
    model = _model()
    layers = adapters_of(model)
    masks = {name: layer.mask() for name, layer in layers.items()}
    for name, layer in layers.items():
        set_rank(layer, 1)
        assert not bool(layer.get_base_layer().weight[~masks[name]].any())


def test_moments_turn_with_the_factors() -> None:
    """Moments that are gradients of the old factors become gradients of the new ones."""
    layer = next(iter(adapters_of(_model()).values()))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    g = torch.Generator().manual_seed(5)
    slope = torch.randn(b.shape[0], a.shape[1], generator=g)
    with torch.no_grad():
        state = {a: {"exp_avg": b.T @ slope, "exp_avg_sq": torch.rand(a.shape, generator=g)},
                 b: {"exp_avg": slope @ a.T, "exp_avg_sq": torch.rand(b.shape, generator=g)}}
        product, before = b @ a, a.clone()
        turn = _turn(a.data, b.data, 6)
        _turn_moments(a, b, turn, 6, state)
        assert not torch.allclose(a, before)
        torch.testing.assert_close(b @ a, product, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state[b]["exp_avg"], slope @ a.T, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(state[a]["exp_avg"], b.T @ slope, rtol=1e-3, atol=1e-3)
    assert all(bool((one["exp_avg_sq"] >= 0).all()) for one in state.values())


def test_refused() -> None:
    layer = next(iter(adapters_of(_model()).values()))
    with pytest.raises(InputError, match="rank 7"):
        set_rank(layer, 7)
