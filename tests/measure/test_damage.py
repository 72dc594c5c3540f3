"""Damage and its density: against autograd on the whole model, and finite differences."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model, write_tiny

from neurosparse.errors import InputError
from neurosparse.measure import PropagationCollector, Ranks, damage, profile, row_ranks
from neurosparse.models import BlockWalk, find_targets, get_weight, load
from neurosparse.pruning import find_method

# The package gives the function that name.
_MODULE = sys.modules["neurosparse.measure.damage"]


def _tokens(windows: int = 3, length: int = 20) -> torch.Tensor:
    return torch.randint(0, 100, (windows, length), generator=torch.Generator().manual_seed(3))


def _sharp(model: torch.nn.Module) -> torch.nn.Module:
    """Larger weights: the random model's predictions then depend on them in earnest."""
    with torch.no_grad():
        for target in find_targets(model):
            get_weight(model, target).mul_(6.0)
    return model


@given(st.integers(1, 5), st.integers(1, 600), st.integers(0, 99))
def test_row_ranks_are_the_shares_below(rows: int, columns: int, seed: int) -> None:
    scores = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    below = (scores[:, :, None] > scores[:, None, :]).sum(2)
    assert torch.equal(row_ranks(scores).long(), below * 256 // columns)


def test_ranks_on_disk_are_the_same(tmp_path: Path) -> None:
    scores = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    memory, disk = Ranks(), Ranks("disk", tmp_path)
    for one in (memory, disk):
        one.put("a", scores)
    assert torch.equal(memory.get("a"), disk.get("a"))
    assert int((~memory.keep("a", 0.5)).sum()) == 64


@pytest.mark.parametrize("graph", [0, 2**31])
def test_damage_and_density_are_those_of_autograd(
        graph: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, and with one graph of the whole model."""
    monkeypatch.setattr(_MODULE, "_GRAPH_BYTES", graph)
    model, tokens = _sharp(tiny_model()), _tokens()
    targets, ranks = find_targets(model), Ranks()
    for target in targets:
        ranks.put(target.name, find_method("magnitude").scores(get_weight(model, target), None))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        wanted = model(input_ids=tokens).logits.log_softmax(-1)
    # BlockWalk wants what leaves the last block, before the final norm.
    states: list[torch.Tensor] = []
    handle = model.model.layers[-1].register_forward_hook(
        lambda module, args, out: states.append(out if isinstance(out, torch.Tensor) else out[0]))
    with torch.no_grad():
        model(input_ids=tokens)
    handle.remove()
    rates = [0.2 + 0.02 * at for at in range(len(targets))]
    found = damage(model, tokens, states[0], targets, ranks, rates, batch_size=2)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    weights = [get_weight(model, target).clone() for target in targets]
    for target, rate in zip(targets, rates, strict=True):
        get_weight(model, target).mul_(ranks.keep(target.name, rate))
    for target in targets:
        model.get_submodule(target.name).weight.requires_grad_(True)
    got = model(input_ids=tokens).logits.log_softmax(-1)
    loss = (wanted.exp() * (wanted - got)).sum() / tokens.numel()
    loss.backward()
    assert found.nats == pytest.approx(float(loss.detach()), rel=1e-4) and found.nats > 0.001
    for at, (target, weight) in enumerate(zip(targets, weights, strict=True)):
        gradient = model.get_submodule(target.name).weight.grad
        assert gradient is not None
        expected = np.zeros(64)
        np.add.at(expected, (ranks.get(target.name) // 4).flatten().numpy(),
                  (-gradient * weight).flatten().double().numpy())
        assert np.allclose(found.density[at], 64 * expected, rtol=2e-3,
                           atol=2e-4 * np.abs(64 * expected).max())


@pytest.mark.parametrize("graph", [0, 2**31])
def test_damage_in_bfloat16_is_nearly_the_same(
        graph: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_MODULE, "_GRAPH_BYTES", graph)
    model, tokens = _sharp(tiny_model()), _tokens(8)
    targets, ranks = find_targets(model), Ranks()
    for target in targets:
        ranks.put(target.name, find_method("magnitude").scores(get_weight(model, target), None))
    walk = BlockWalk(model, tokens, batch_size=8)
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
    rates = [0.5] * len(targets)
    own, half = (damage(model, tokens, walk.hidden(0), targets, ranks, rates, dtype=dtype)
                 for dtype in (None, torch.bfloat16))
    assert half.nats == pytest.approx(own.nats, rel=0.05) and half.nats != own.nats
    total = [one.density.sum(1) for one in (own, half)]
    assert np.corrcoef(*total)[0, 1] > 0.99
    assert not model.get_output_embeddings().weight.requires_grad


def test_profile_walks_the_path_and_leaves_the_model_alone(tmp_path: Path) -> None:
    model = _sharp(tiny_model())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    collector = PropagationCollector(0.5, windows=2, folder=tmp_path / "keep")
    found = profile(model, _tokens(), evidence=[collector], batch_size=2).evidence["propagation"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert found["points"].tolist() == [0.3, 0.3825, 0.465]
    sizes = [target.size for target in find_targets(model)]
    assert np.average(found["rates"][1], weights=sizes) == pytest.approx(0.3825, abs=1e-12)
    assert np.all(found["damage_at"] > 0)
    # Finished points come from their files, and those of another run do not.
    again = PropagationCollector(0.5, windows=2, folder=tmp_path / "keep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurosparse.measure.collect_propagation.damage", None)
        kept = profile(model, _tokens(), evidence=[again], batch_size=2).evidence["propagation"]
        assert all(np.array_equal(found[name], kept[name]) for name in found)
        with pytest.raises(TypeError):
            profile(model, _tokens(4), evidence=[PropagationCollector(
                0.5, windows=2, folder=tmp_path / "keep")])


def test_streamed_path_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both block by block: the damage of this random model is next to rounding.
    monkeypatch.setattr(_MODULE, "_GRAPH_BYTES", 0)
    folder = write_tiny(tmp_path / "m")
    evidence = [[PropagationCollector(0.5, windows=2)] for _ in range(2)]
    whole = profile(load(str(folder)).model, _tokens(), evidence=evidence[0])
    streamed = profile(load(str(folder), stream=True).model, _tokens(), evidence=evidence[1],
                       store="disk", folder=str(tmp_path))
    for name, array in whole.evidence["propagation"].items():
        assert np.allclose(array, streamed.evidence["propagation"][name], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("bad", [{"points": ()}, {"points": (0.4, 0.3)}, {"windows": 0},
                                 {"points": (0.0, 0.4)}, {"products": "float8"}])
def test_collector_refuses(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        PropagationCollector(0.7, **bad)  # type: ignore[arg-type]
