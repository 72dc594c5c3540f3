"""The terms of the error in depth: against whole-model computations and exact small cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_model

from neurosparse.errors import InputError
from neurosparse.measure import (
    ExponentsCollector,
    GainsCollector,
    SecondOrderCollector,
    SingleCollector,
    profile,
)
from neurosparse.models import find_targets, get_weight, set_weight
from neurosparse.pruning import lowest_by_row


def _tokens(windows: int = 2, length: int = 16) -> torch.Tensor:
    return torch.randint(0, 100, (windows, length), generator=torch.Generator().manual_seed(3))


def _sharp() -> torch.nn.Module:
    model = tiny_model()
    with torch.no_grad():
        for target in find_targets(model):
            get_weight(model, target).mul_(3.0)
        model.lm_head.weight.mul_(10.0)
    return model


@pytest.fixture(scope="module")
def measured():  # type: ignore[no-untyped-def]
    model = _sharp()
    collectors = [SingleCollector(0.5), GainsCollector(0.5), ExponentsCollector(3, tokens=8),
                  SecondOrderCollector(1 / 32, windows=2, draws=200)]
    return model, profile(model, _tokens(), evidence=collectors, method="magnitude").evidence


def _nats(model: torch.nn.Module, wanted: torch.Tensor) -> float:
    with torch.no_grad():
        found = model(input_ids=_tokens()).logits.double().log_softmax(-1)
    return float((wanted.exp() * (wanted - found)).sum() / _tokens().numel())


def _pruned_nats(model: torch.nn.Module, names: set[str], rate: float) -> float:
    with torch.no_grad():
        wanted = model(input_ids=_tokens()).logits.double().log_softmax(-1)
    before = {t: get_weight(model, t).clone() for t in find_targets(model) if t.name in names}
    for target, weight in before.items():
        drop = round(rate * weight.numel())
        set_weight(model, target, weight * lowest_by_row(weight.abs(), drop))
    try:
        return _nats(model, wanted)
    finally:
        for target, weight in before.items():
            set_weight(model, target, weight)


def test_single_damage_is_that_of_the_whole_model(measured) -> None:  # type: ignore[no-untyped-def]
    model, evidence = measured
    for at, target in enumerate(find_targets(model)):
        plain = _pruned_nats(model, {target.name}, 0.5)
        assert evidence["single"]["nats"][at] == pytest.approx(plain, rel=1e-3, abs=1e-7)


def test_gains_are_those_of_the_whole_model(measured) -> None:  # type: ignore[no-untyped-def]
    model, evidence = measured
    found = evidence["gains"]
    for block in range(3):
        names = {t.name for t in find_targets(model) if t.block == block}
        assert found["nats"][block, -1] == pytest.approx(_pruned_nats(model, names, 0.5), rel=1e-3)
    every = {t.name for t in find_targets(model)}
    assert float(found["together"]) == pytest.approx(_pruned_nats(model, every, 0.5), rel=1e-3)
    assert float(found["alone"]) == pytest.approx(found["nats"][:, -1].sum())
    assert np.allclose(np.diag(found["cross"]), 1) and np.allclose(found["cross"],
                                                                   found["cross"].T)
    assert np.isnan(found["amplification"][0]).all()
    assert np.isfinite(found["amplification"][1:]).all()


def test_gain_is_second_order_where_it_is_small() -> None:
    scales = (0.01, 0.02, 1.0)
    found = profile(_sharp(), _tokens(), evidence=[GainsCollector(0.1, scales=scales)],
                    method="magnitude").evidence["gains"]
    assert np.allclose(found["gain"][:, 0], found["gain"][:, 1], rtol=0.05)


def test_exponents_are_those_of_the_jacobians(measured) -> None:  # type: ignore[no-untyped-def]
    model, evidence = measured
    hidden = [torch.zeros(0)] * 4
    tokens = _tokens()[:1, :8]
    handles = [layer.register_forward_hook(
        lambda module, args, out, at=at: hidden.__setitem__(at, args[0].detach()))
        for at, layer in enumerate(model.model.layers)]
    with torch.no_grad():
        model(input_ids=tokens)
    for handle in handles:
        handle.remove()
    places = torch.arange(8)[None]
    rotary = model.model.rotary_emb(hidden[0], places)
    mask = torch.full((1, 1, 8, 8), -1e9).triu(1)
    product = np.eye(hidden[0].numel())
    for at, layer in enumerate(model.model.layers):
        jacobian = torch.func.jacrev(lambda h, layer=layer: layer(
            h, attention_mask=mask, position_embeddings=rotary, position_ids=places))(hidden[at])
        product = jacobian.reshape(len(product), -1).double().numpy() @ product
    from neurosparse.lyapunov.driver import random_frame

    upper = np.linalg.qr(product @ random_frame(len(product), 3, 0))[1]
    total = np.log(np.abs(np.diag(upper)))
    assert np.allclose(evidence["exponents"]["logs"].sum(0), total, atol=1e-3)
    assert np.allclose(evidence["exponents"]["exponents"], total / 3, atol=1e-3)


def test_second_order_is_right_where_the_error_is_small(measured) -> None:  # type: ignore[no-untyped-def]
    """Expectation over drawn labels: 200 draws leave some per cent, and small rates no more."""
    model, evidence = measured
    targets = find_targets(model)
    plain = np.array([_pruned_nats(model, {t.name}, 1 / 32) for t in targets])
    found = evidence["second-order"]["sequence"]
    seen = plain > 1e-9
    assert seen.sum() > 10
    ratio = found[seen] / plain[seen]
    assert np.median(ratio) == pytest.approx(1, abs=0.15)


def test_wrong_options() -> None:
    with pytest.raises(InputError, match="single"):
        SingleCollector(1.5)
    with pytest.raises(InputError, match="exponents"):
        ExponentsCollector(0)
