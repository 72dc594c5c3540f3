"""Metrics against their formulas, written out, and compensation against none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from models.families import build, relative_error, tokens
from structured.cases import logits, rates
from torch import nn
from torch.nn import functional

from neurosparse.errors import InputError
from neurosparse.pruning.structured import (
    METRICS,
    find_groups,
    keep,
    least_squares,
    mean_output,
    prune_structured,
    structured_scores,
)


def inputs_of(model: nn.Module, names: list[str], text: torch.Tensor) -> dict[str, np.ndarray]:
    """Inputs of some linears, (tokens, in), by plain hooks."""
    found: dict[str, np.ndarray] = {}
    hooks = [model.get_submodule(name).register_forward_hook(
        lambda _m, args, _o, name=name: found.__setitem__(
            name, args[0].reshape(-1, args[0].shape[-1]).double().numpy())) for name in names]
    logits(model, text)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_wanda_sp_by_the_formula(family: str) -> None:
    """Column means times input norms by block on the pruned prefix, zeroed as FLAP's code does."""
    model, reference = build(family), build(family)
    budgets = [rates(2, 2, 4, kind="heads"), rates(30, 31, 32, kind="neurons")]
    report = prune_structured(model, budgets, tokens(), compensate=False)
    for i, (groups, neurons) in enumerate([(1, 30), (1, 31), (2, 32)]):
        block = f"model.layers.{i}"
        names = [f"{block}.self_attn.o_proj", f"{block}.mlp.down_proj"]
        seen = inputs_of(reference, names, tokens())
        scores = []
        for name in names:
            weight = reference.get_submodule(name).weight.double().abs().numpy()
            scores.append(weight.mean(0) * np.sqrt((seen[name] ** 2).sum(0)))
        of_groups = scores[0].reshape(2, 16).sum(1)  # two heads of 8 in each of two groups
        kept_groups = np.sort(np.argsort(of_groups)[2 - groups:])
        kept = np.sort(np.argsort(scores[1])[48 - neurons:])
        assert report.sites[f"{block}.mlp"].kept["neurons"] == kept.tolist()
        if groups < 2:
            assert report.sites[f"{block}.self_attn"].kept["kv_heads"] == kept_groups.tolist()
        columns = (kept_groups[:, None] * 16 + np.arange(16)).ravel()
        for name, stay in zip(names, (columns, kept), strict=True):
            weight = reference.get_submodule(name).weight
            weight[:, np.setdiff1d(np.arange(weight.shape[1]), stay)] = 0.0
    assert relative_error(logits(model, tokens()), logits(reference, tokens())) < 1e-5


def test_flap_by_the_formula() -> None:
    model = build("qwen2")
    scores = structured_scores(model, tokens(), find_groups(model), method="flap")
    for i in range(3):
        names = [f"model.layers.{i}.self_attn.o_proj", f"model.layers.{i}.mlp.down_proj"]
        for name, x in inputs_of(model, names, tokens()).items():
            weight = model.get_submodule(name).weight.double().numpy()
            expected = x.var(0, ddof=1) * (weight**2).sum(0)
            site = name.rpartition(".")[0]
            if "attn" in name:
                expected = expected.reshape(4, 8).sum(1)
            np.testing.assert_allclose(scores[site].numpy(), expected, rtol=1e-4)


def test_queries_go_from_every_group_alike() -> None:
    group = find_groups(build("llama"), heads="queries")[0]
    kept = keep(group, torch.tensor([9.0, 1.0, 2.0, 8.0]), 1)
    assert kept["heads"].tolist() == [0, 3] and kept["kv_heads"].tolist() == [0, 1]


def test_magnitude_counts_every_weight_once() -> None:
    for family, options in (("phi3", {}), ("gpt_oss", {}), ("mixtral", {"experts": True})):
        model = build(family)
        groups = find_groups(model, **options)
        for name, scores in structured_scores(model, tokens(), groups, method="magnitude").items():
            site = next(group.site for group in groups if group.name == name)
            everything = sum(float(model.get_parameter(path).double().square().sum())
                             for path in {part.parameter for part in site.parts})
            assert float(scores.sum()) == pytest.approx(everything, rel=1e-9)
    # One neuron of an MLP, by hand.
    model = build("phi3")
    mlp = model.model.layers[1].mlp
    mine = [mlp.gate_up_proj.weight[7], mlp.gate_up_proj.weight[48 + 7], mlp.down_proj.weight[:, 7]]
    scores = structured_scores(model, tokens(), find_groups(model), method="magnitude")
    assert float(scores["model.layers.1.mlp"][7]) == pytest.approx(
        sum(float(part.double().square().sum()) for part in mine), rel=1e-9)


@pytest.mark.parametrize(("family", "options"), [("llama", {}), ("mixtral", {}),
                                                 ("mixtral", {"experts": True})])
@pytest.mark.parametrize("method", ["taylor", "fisher"])
def test_gates_give_the_sum_of_gradient_times_weight(family: str, options: dict[str, Any],
                                                     method: str) -> None:
    model, text = build(family), tokens(3, 10)
    groups = find_groups(model, **options)
    found = structured_scores(model, text, groups, method=method)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    total: dict[str, np.ndarray] = {}
    for window in text:
        weights = {}
        for group in groups:
            path = group.site.output
            parameter = path if path.endswith("experts.down_proj") else f"{path}.weight"
            weights[group.name] = model.get_parameter(parameter).requires_grad_(True)
        with torch.enable_grad():
            out = model(window[None]).logits[0, :-1]
            loss = functional.cross_entropy(out, window[1:], reduction="sum")
            grads = torch.autograd.grad(loss, list(weights.values()))
        for (name, weight), grad in zip(weights.items(), grads, strict=True):
            weight.requires_grad_(False)
            product = (weight * grad).double().numpy()
            if "attn" in name:
                value = product.sum(0).reshape(4, 8).sum(1)
            elif product.ndim == 2:
                value = product.sum(0)
            else:
                value = product.sum((1, 2)) if options else product.sum(1)
            value = value**2 / 2 if method == "fisher" else value
            total[name] = total.get(name, 0.0) + value / 9 / 3
    for name, expected in total.items():
        np.testing.assert_allclose(found[name].numpy(), np.abs(expected), rtol=1e-3, atol=1e-6)


def test_least_squares_is_the_minimum() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 12, generator=generator) @ torch.randn(12, 12, generator=generator)
    weight, kept = torch.randn(5, 12, generator=generator), torch.tensor([0, 2, 3, 7, 8, 11])
    new = least_squares(weight, x.T @ x, kept, damping=0.0)
    expected = torch.linalg.lstsq(x[:, kept].double(), (x @ weight.T).double()).solution.T
    assert relative_error(new.double(), expected) < 1e-3
    damped = [least_squares(weight, x.T @ x, kept, damping=d) for d in (0.01, 1.0, 1e9)]
    errors = [float((x @ weight.T - x[:, kept] @ w.T).square().sum()) for w in (new, *damped)]
    assert errors == sorted(errors) and errors[0] < 0.9 * errors[-1]
    assert relative_error(damped[-1], weight[:, kept]) < 1e-6
    assert torch.equal(least_squares(weight, torch.zeros(12, 12), kept), weight[:, kept])


def test_the_mean_is_the_best_bias() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(50, 6, generator=generator) + 1, torch.randn(4, 6, generator=generator)
    kept = torch.tensor([1, 4, 5])
    bias = mean_output(weight, x.double().mean(0), kept)
    left = x @ weight.T - x[:, kept] @ weight[:, kept].T
    assert torch.allclose(bias, left.mean(0), atol=1e-5) and float(bias.abs().min()) > 0.01


@pytest.mark.parametrize("family", ["llama", "phi3", "qwen3_moe"])
def test_compensation_lowers_the_error_of_a_block(family: str) -> None:
    """On the first feed-forward map, whose inputs are the dense ones whatever is done."""
    text, errors = tokens(20, 20), {}
    dense = hidden_after_first(build(family), text)
    for way in ("none", "bias", "least_squares"):
        model = build(family)
        prune_structured(model, rates(16, kind="neurons", names=["block.0"]), text,
                         compensate=way)
        errors[way] = float((hidden_after_first(model, text) - dense).square().sum())
    assert errors["least_squares"] < 0.95 * errors["none"]
    if family != "qwen3_moe":  # inside fused experts there is no bias
        assert errors["bias"] < 0.98 * errors["none"]


def hidden_after_first(model: nn.Module, text: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(text, output_hidden_states=True).hidden_states[1]


def test_an_added_bias_is_counted_and_said() -> None:
    model = build("llama")
    report = prune_structured(model, rates(0.3, names=["block.1"]), tokens(), compensate="bias")
    assert model.model.layers[1].mlp.down_proj.bias is not None
    assert model.model.layers[0].mlp.down_proj.bias is None
    added = 32 * len(report.sites)
    assert report.notes[-1] == f"{added} parameters were added as biases"
    assert report.removed == sum(site.removed for site in report.sites.values()) - added


def test_an_expert_never_reached_goes_by_magnitude_and_is_named() -> None:
    model, text = build("mixtral"), tokens(1, 1)  # one token goes to two experts of four
    by_weight = structured_scores(model, text, find_groups(model), method="magnitude")
    before = model.model.layers[1].mlp.experts.down_proj.clone()
    report = prune_structured(model, rates(32, kind="neurons", names=["block.1"]), text)
    named = [int(note.split("#")[1][0]) for note in report.notes if "never reached" in note]
    assert len(named) == 2
    kept = report.sites["model.layers.1.mlp.experts"].kept["neurons"]
    after = model.model.layers[1].mlp.experts.down_proj
    for expert in range(4):
        highest = by_weight["model.layers.1.mlp.experts"][expert].argsort()[16:].sort().values
        assert (kept[expert] == highest.tolist()) == (expert in named)
        same = torch.equal(after[expert], before[expert][:, kept[expert]])
        assert same == (expert in named)  # what was seen is compensated, the rest is as it was


def test_the_metrics_by_name() -> None:
    model = build("llama")
    for name in METRICS:
        scores = structured_scores(model, tokens(2, 8), find_groups(model), method=name)
        assert all(bool((value >= 0).all()) and value.dtype == torch.float64
                   for value in scores.values())
    with pytest.raises(InputError, match="fisher, flap, magnitude, taylor, wanda-sp"):
        structured_scores(model, tokens(), find_groups(model), method="wanda")
