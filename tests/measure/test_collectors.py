"""Evidence of the published rules, against direct computations; every rule from one profile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_model

from neurosparse.budgets import RULES, allocate, evidence_for, explain
from neurosparse.errors import BudgetError, InputError
from neurosparse.measure import (
    AbsorptionCollector,
    FisherCollector,
    OwlCollector,
    ProgressionCollector,
    PropagationCollector,
    known_evidence,
    profile,
    profile_cost,
)
from neurosparse.measure.collect_representation import normalised_hsic

OPTIONS = {"arithmetic": {"step": "predicted"}}


def _tokens(windows: int = 4, length: int = 20) -> torch.Tensor:
    return torch.randint(0, 100, (windows, length), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def measured():  # type: ignore[no-untyped-def]
    model = tiny_model()
    evidence = [name for name in known_evidence()
                if name not in ("progression", "propagation")]
    return model, profile(model, _tokens(), evidence=[
        *evidence, PropagationCollector(0.6, windows=2), ProgressionCollector(0.6, windows=2)],
        batch_size=2)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("sparsity", [0.5, 0.55, 0.7])
def test_every_rule_keeps_the_mean_and_explains_itself(measured, rule: str, sparsity: float
                                                       ) -> None:  # type: ignore[no-untyped-def]
    found = explain(measured[1], sparsity, rule=rule, **OPTIONS.get(rule, {}))
    rates = np.array([target.value for target in found.budget.targets])
    assert np.average(rates, weights=measured[1].sizes) == pytest.approx(sparsity, abs=1e-12)
    assert rates.min() >= 0 and rates.max() <= 1
    assert all(len(column) == len(rates) for column in found.columns.values())
    if rule not in ("uniform",):
        assert np.ptp(rates) > 0 and found.columns
    assert set(evidence_for(rule, **OPTIONS.get(rule, {}))) <= set(known_evidence())


def test_missing_evidence_is_named(measured) -> None:  # type: ignore[no-untyped-def]
    bare = profile(measured[0], _tokens(1), evidence=("shapes",))
    with pytest.raises(BudgetError, match="owl"):
        allocate(bare, 0.5, rule="owl")
    assert allocate(bare, 0.5, rule="er").total.kept == pytest.approx(0.5)


def _norms(model: torch.nn.Module, name: str, tokens: torch.Tensor) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(name).register_forward_pre_hook(
        lambda module, args: seen.append(args[0].reshape(-1, args[0].shape[-1])))
    with torch.no_grad():
        model(input_ids=tokens)
    handle.remove()
    return torch.cat(seen).double().square().sum(0).sqrt()


def test_owl_and_dlp_are_those_of_the_scores(measured) -> None:  # type: ignore[no-untyped-def]
    model, found = measured
    names = [name for name, block in zip(found.names, found.block, strict=True) if block == 1]
    scores = {name: (model.get_submodule(name).weight.double().abs()
                     * _norms(model, name, _tokens())).flatten() for name in names}
    together = torch.cat(list(scores.values()))
    for name in names:
        at = found.names.index(name)
        share = float((scores[name] > 3 * together.mean()).double().mean())
        assert found.evidence["owl"]["block"][at, 0] == pytest.approx(share, abs=2e-4)
        own = float((scores[name] > 5 * scores[name].mean()).double().mean())
        assert found.evidence["owl"]["linear"][at, 1] == pytest.approx(own, abs=2e-4)
        assert found.evidence["dlp"]["block_median"][at] == pytest.approx(
            float(together.median()), rel=1e-4)
        assert found.evidence["dlp"]["linear_mean"][at] == pytest.approx(
            float(scores[name].mean()), rel=1e-4)
        middle = found.evidence["scores"]["quantiles"][at, 128]
        assert middle == pytest.approx(float(scores[name].median()), rel=1e-2)


def test_global_threshold_is_one_threshold(measured) -> None:  # type: ignore[no-untyped-def]
    _, found = measured
    rates = np.array([t.value for t in allocate(found, 0.5, rule="global").targets])
    table, levels = found.evidence["scores"]["quantiles"], found.evidence["scores"]["levels"]
    cut = [np.interp(rate, levels, row) for rate, row in zip(rates, table, strict=True)
           if 0.01 < rate < 0.99]
    assert np.ptp(cut) < 0.02 * np.mean(cut)


def test_fisher_trace_is_that_of_autograd(measured) -> None:  # type: ignore[no-untyped-def]
    _, found = measured
    model, tokens = tiny_model(), _tokens()
    name = "model.layers.1.mlp.up_proj"
    weight = model.get_submodule(name).weight.requires_grad_(True)
    total = 0.0
    for window in tokens:
        loss = model(input_ids=window[None], labels=window[None]).loss
        total += float(torch.autograd.grad(loss, weight)[0].double().square().sum())
    expected = total / len(tokens)
    assert found.evidence["fisher"]["trace"][found.names.index(name)] == pytest.approx(
        expected, rel=1e-4)


def test_hsic_of_scaled_and_of_unrelated_representations() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(6, 4)), np.zeros((6, 4))
    other[:, 0] = 3.0
    table = normalised_hsic(np.stack([one @ one.T, 7 * one @ one.T, other @ other.T]))
    assert table[0, 1] == pytest.approx(1.0) and table[0, 2] == 0.0
    orthogonal = np.eye(4)[:, :1] - np.eye(4)[:, 1:2], np.eye(4)[:, 2:3] - np.eye(4)[:, 3:4]
    grams = np.stack([f @ f.T for f in orthogonal])
    assert normalised_hsic(grams)[0, 1] == pytest.approx(0.0, abs=1e-12)


def test_absorption_of_an_idle_block_is_none() -> None:
    """Blocks that add nothing pass a perturbation on as it is."""
    model = tiny_model()
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    found = profile(model, _tokens(), evidence=[AbsorptionCollector((0.1,))])
    assert np.allclose(found.evidence["absorption"]["log_growth"], 0.0, atol=1e-5)


def test_spectra_see_the_tail(measured) -> None:  # type: ignore[no-untyped-def]
    exponents = measured[1].evidence["spectra"]["peak"]
    assert exponents.shape == (21,) and np.all(exponents > 1)


def test_cost_is_said_before() -> None:
    model = tiny_model(blocks=5)
    assert profile_cost(model, ("shapes",)).passes == 0
    assert profile_cost(model, ("owl", "dlp")).passes == 1
    path = profile_cost(model, [PropagationCollector(0.7)], windows=32)
    assert path.passes == 6 and "propagation" in str(path)


@pytest.mark.parametrize("make", [
    lambda: OwlCollector(()), lambda: OwlCollector((0.0,)), lambda: AbsorptionCollector(()),
    lambda: AbsorptionCollector((0.1,), windows=0), lambda: FisherCollector(0)])
def test_collectors_refuse(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError):
        make()
    with pytest.raises(InputError, match="some of"):
        profile(tiny_model(), _tokens(1), evidence=("taste",))
