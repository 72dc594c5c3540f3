"""All cuts of a site from one factor, against the formulas; gains against finite differences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.families import build, relative_error, tokens
from structured.cases import DENSE, logits, rates
from torch import nn

from neurosparse.budgets.structures import SiteDamage, cheapest_units, structure_budget
from neurosparse.errors import BudgetError, InputError, ModelError
from neurosparse.measure import structure_rates
from neurosparse.measure.structure_gains import site_damages
from neurosparse.pruning.structured import (
    cut,
    find_groups,
    keep,
    make_ladders,
    make_plan,
    solved,
)
from neurosparse.pruning.structured.ladder import DAMPING, make_ladder, output_weight
from neurosparse.pruning.structured.masks import output_columns


def inputs_of(model: nn.Module, name: str, text: torch.Tensor) -> torch.Tensor:
    found: list[torch.Tensor] = []
    hook = model.get_submodule(name).register_forward_hook(
        lambda _m, args, _o: found.append(args[0].flatten(0, 1).double()))
    logits(model, text)
    hook.remove()
    return found[0]


@pytest.mark.parametrize("family", DENSE)
@pytest.mark.parametrize("heads", ["groups", "queries"])
def test_every_width_is_the_least_squares_solution(family: str, heads: str) -> None:
    model, text = build(family), tokens(12, 24)
    groups = find_groups(model, heads=heads)
    scores, ladders = make_ladders(model, text, groups)
    for group in groups[2:4]:
        site, ladder = group.site, ladders[group.name]
        x = inputs_of(model, site.output, text)
        gram = x.T @ x / len(x)
        gram.diagonal().add_(DAMPING * float(gram.diagonal().mean()))
        dense = output_weight(model, site).detach()
        for dropped in {1, group.count // 2, group.count - 1}:
            kept = output_columns(site, keep(group, scores[group.name], dropped))
            expected = torch.zeros_like(dense).double()
            expected[:, kept] = dense.double() @ gram[:, kept] @ torch.linalg.inv(
                gram[kept][:, kept])
            assert relative_error(ladder.weight(dense, dropped).double(), expected) < 1e-4
            left = dense.double() - expected
            error = float(((left @ gram) * left).sum())
            assert ladder.errors[dropped] == pytest.approx(error, rel=1e-4)
        assert torch.equal(ladder.weight(dense, 0), dense) and ladder.errors[0] == 0
        assert len(ladder.errors) == group.count + 1 and np.all(np.diff(ladder.errors) >= 0)


def test_inputs_that_were_never_seen_leave_masks_alone() -> None:
    group = find_groups(build("llama"))[1]
    weight = torch.randn(32, 48, generator=torch.Generator().manual_seed(0))
    ladder = make_ladder(group, weight, torch.zeros(48, 48), torch.arange(48.0))
    expected = weight.clone()
    expected[:, :5] = 0.0
    assert torch.equal(ladder.weight(weight, 5), expected) and not ladder.errors.any()


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma3"])
def test_solved_answers_as_the_cut_model_and_leaves_the_dense_one(family: str) -> None:
    model, text = build(family), tokens()
    groups = find_groups(model, heads="queries")
    scores, ladders = make_ladders(model, text, groups)
    plan = make_plan(model, rates(0.2, 0.4, 0.3), groups)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with solved(model, ladders, plan.dropped):
        found = logits(model, text)
        weights = {group.name: output_weight(model, group.site).clone() for group in groups}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    kept = {group.name: keep(group, scores[group.name], plan.dropped[group.name])
            for group in groups}
    cut(model, groups, kept)
    for group in groups:
        columns = output_columns(group.site, kept[group.name])
        output_weight(model, group.site).data = weights[group.name][:, columns]
    assert relative_error(found, logits(model, text)) < 1e-5


def test_a_gain_is_the_slope_of_the_damage() -> None:
    """KL along the change of one site's weight, by central differences, all sites cut."""
    model, text = build("llama").double(), tokens(3, 16)
    groups = find_groups(model, heads="queries")
    for group in groups:
        output_weight(model, group.site).data.mul_(4.0)  # a damage to measure
    _, ladders = make_ladders(model, tokens(12, 24), groups)
    plan = make_plan(model, rates(0.3, 0.3, 0.3), groups).dropped
    dense = logits(model, text).log_softmax(-1)
    sites, nats = site_damages(model, text, ladders, plan)

    def damage() -> float:
        found = logits(model, text).log_softmax(-1)
        return float((dense.exp() * (dense - found)).sum(-1).mean())

    for group, site in zip(groups, sites, strict=True):
        weight, ladder = output_weight(model, group.site), ladders[group.name]
        near = max(1, round(0.06 * group.count))
        low, high = (min(max(plan[group.name] + by, 0), group.count - 1) for by in (-near, near))
        moved = ladder.weight(weight.data, high) - ladder.weight(weight.data, low)
        with solved(model, ladders, plan):
            assert nats == pytest.approx(damage(), rel=1e-4)
            found = []
            for sign in (1, -1):
                weight.data += sign * 4e-3 * moved
                found.append(damage())
                weight.data -= sign * 4e-3 * moved
        slope = (found[0] - found[1]) / 8e-3
        assert site.gain * (ladder.errors[high] - ladder.errors[low]) == pytest.approx(
            slope, rel=5e-3, abs=1e-5)  # norms are float32
    with pytest.raises(InputError, match="no window"):
        site_damages(model, text[:0], ladders, plan)


def sites_of(seed: int, *, convex: bool = True) -> list[SiteDamage]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(3):
        steps = rng.uniform(0.1, 2.0, 4)
        steps = np.sort(steps) if convex else steps
        made.append(SiteDamage(f"site.{number}", 50, 10, range(5),
                               np.concatenate([[0.0], steps.cumsum()]), rng.uniform(0.1, 3.0)))
    return made


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_units_of_least_damage(seed: int, units: int) -> None:
    """Against all choices: the optimum of convex curves of equal units."""
    sites = sites_of(seed)
    gains = np.array([site.gain for site in sites])
    found = cheapest_units(sites, gains, 10 * units + 3 * (units < 12))
    assert sum(found) == units

    def cost(counts: Any) -> float:
        return float(sum(g * site.errors[c]
                         for g, site, c in zip(gains, sites, counts, strict=True)))

    every = [c for c in itertools.product(range(5), repeat=3) if sum(c) == units]
    assert cost(found) == pytest.approx(min(map(cost, every)))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.8))
def test_a_budget_of_structures_keeps_its_total(seed: int, rate: float) -> None:
    budget = structure_budget(sites_of(seed, convex=False), rate)
    assert budget.kind == "sparsity" and budget.total.asked == rate
    assert -1e-12 <= round(rate * 150) / 150 - budget.mean() < 10 / 150  # less than one unit
    assert set(budget.rule.notes["gains"]) == {"site.0", "site.1", "site.2"}


def test_gains_that_are_none() -> None:
    sites = sites_of(0)
    some = [SiteDamage(s.name, s.whole, s.unit, s.choices, s.errors, gain)
            for s, gain in zip(sites, (-1.0, 2.0, float("nan")), strict=True)]
    assert min(structure_budget(some, 0.3).rule.notes["gains"].values()) == 2.0
    none = [SiteDamage(s.name, s.whole, s.unit, s.choices, s.errors, 0.0) for s in sites]
    with pytest.raises(BudgetError, match="no site whose cut harms"):
        structure_budget(none, 0.3)
    with pytest.raises(BudgetError, match="at most 120"):
        structure_budget(sites, 0.9)


def test_the_rule_takes_from_what_does_not_matter() -> None:
    model, text = build("llama"), tokens(12, 24)
    for layer in model.model.layers:
        layer.mlp.down_proj.weight.data.mul_(8.0)
        layer.self_attn.o_proj.weight.data.mul_(8.0)
    model.model.layers[1].mlp.down_proj.weight.data.mul_(1e-3)
    groups = find_groups(model, heads="queries")
    budget = structure_rates(model, text, groups, 0.3)
    value = {target.name: target.value for target in budget.targets}
    assert max(value, key=value.__getitem__) == "model.layers.1.mlp"
    assert value["model.layers.1.mlp"] > 0.9
    plan = make_plan(model, budget, groups)
    assert abs(plan.removed - plan.asked) <= 48
    assert budget.rule.notes["damage_there"] > 0
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_fused_experts_have_no_ladder() -> None:
    model = build("mixtral")
    with pytest.raises(ModelError, match="fused experts"):
        structure_rates(model, tokens(), find_groups(model), 0.3)
