"""Fused experts learn under their masks as linears do, whichever way they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from models.families import build, relative_error, tokens
from structured.cases import logits

from neurosparse.adaptation import TrainOptions, lora_config, losa, recover, set_rank
from neurosparse.adaptation.learners import KeptValues, LowRank, masks_of
from neurosparse.errors import ModelError
from neurosparse.models import Target, find_targets, get_weight, set_weight

FAMILIES = ["mixtral", "qwen3_moe", "gpt_oss"]
FAST = TrainOptions(learning_rate=2e-2)


def sparse_mixture(family: str, rate: float = 0.5) -> tuple[Any, list[Target]]:
    """A tiny mixture with zeros at random places, always the same."""
    model: Any = build(family).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    targets = find_targets(model)
    for target in targets:
        weight = get_weight(model, target)
        set_weight(model, target, weight * (torch.rand(weight.shape, generator=generator) >= rate))
    return model, targets


def learning(family: str, rank: int = 3) -> tuple[Any, LowRank]:
    """With adapters on it, of random values."""
    model, targets = sparse_mixture(family)
    learner = LowRank(model, targets, rank)
    learner.attach(masks_of(model, targets))
    generator = torch.Generator().manual_seed(2)
    for parameter in learner.parameters():
        parameter.requires_grad_(True)
        parameter.data.normal_(0, 0.2, generator=generator)
    return model, learner


def experts_of(model: Any) -> list[Target]:
    return [target for target in find_targets(model) if target.expert is not None]


@pytest.mark.parametrize("family", FAMILIES)
def test_there_is_a_stack_for_every_fused_parameter(family: str) -> None:
    model, learner = learning(family)
    found = {target.name for target in experts_of(model)}
    assert found and found == {name for stack in learner.stacks for name in stack.layers}
    assert len(learner.stacks) == len({name.rpartition("#")[0] for name in found})
    assert set(learner.layers) == {target.name for target in learner.targets}


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_is_what_was_learnt(family: str) -> None:
    model, targets = sparse_mixture(family)
    plain, zero = logits(model, tokens()), {t.name: get_weight(model, t) == 0 for t in targets}
    model, learner = learning(family)
    unmerged = logits(model, tokens())
    learner.detach()
    assert relative_error(logits(model, tokens()), unmerged) < 1e-5
    assert relative_error(unmerged, plain) > 1e-3
    for target in targets:
        assert not bool(get_weight(model, target)[zero[target.name]].any()), target.name


@pytest.mark.parametrize("family", FAMILIES)
def test_without_an_update_nothing_changes(family: str) -> None:
    model, targets = sparse_mixture(family)
    plain, before = logits(model, tokens()), model.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    learner = LowRank(model, targets, 3)
    learner.attach(masks_of(model, targets))
    assert relative_error(logits(model, tokens()), plain) == 0
    learner.detach()
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def dense_update(layer: Any) -> torch.Tensor:
    """W + s M o (B A) by torch's own operators."""
    a, b = layer.factors("default")
    found: torch.Tensor = layer.base_weight() + layer.scaling["default"] * layer.mask() * (b @ a)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_the_written_out_sum(family: str) -> None:
    _, learner = learning(family)
    for stack in learner.stacks:
        layers = list(stack.layers.values())
        set_rank(layers[1], 2)  # one of them uses less than it has
        factors = [factor for layer in layers for factor in layer.whole("default")]
        plain = torch.stack([dense_update(layer).T if stack.transposed else dense_update(layer)
                             for layer in layers])
        made = stack.merged()
        assert relative_error(made.detach(), plain.detach()) < 1e-6
        generator = torch.Generator().manual_seed(3)
        at = torch.randn(made.shape, generator=generator)
        at[0] = 0.0  # no token came to the first
        for one, two in zip(torch.autograd.grad((made * at).sum(), factors),
                            torch.autograd.grad((plain * at).sum(), factors), strict=True):
            assert float((one - two).abs().max()) <= 1e-5 * max(float(two.abs().max()), 1e-6)


@pytest.mark.parametrize("update", ["low-rank", "values"])
@pytest.mark.parametrize("family", FAMILIES)
def test_experts_learn_and_keep_their_zeros(family: str, update: str) -> None:
    model, targets = sparse_mixture(family)
    before = {target.name: get_weight(model, target).clone() for target in targets}
    done = recover(model, tokens().repeat(8, 1), rank=3, update=update, train=FAST)
    assert done.losses[-1] < done.losses[0]
    for target in targets:
        assert not bool(get_weight(model, target)[before[target.name] == 0].any()), target.name
    moved = [target for target in experts_of(model)
             if not torch.equal(get_weight(model, target), before[target.name])]
    assert len(moved) > 0.5 * len(experts_of(model))


@pytest.mark.parametrize("update", ["low-rank", "values"])
def test_pruned_in_steps(update: str) -> None:
    model: Any = build("mixtral").eval()
    done = losa(model, tokens().repeat(10, 1), sparsity=0.5, steps=3, rank=3, update=update,
                windows=2, train=FAST)
    assert done.sparsity == pytest.approx(0.5, abs=0.01)
    for target in find_targets(model):
        assert not bool(get_weight(model, target)[~done.masks[target.name]].any()), target.name


def test_moments_of_what_is_dropped_are_forgotten() -> None:
    model, targets = sparse_mixture("mixtral")
    learner = KeptValues(model, targets)
    learner.attach(masks_of(model, targets))
    stack = model.get_parameter(f"{experts_of(model)[0].module_name}.gate_up_proj")
    state = {stack: {"exp_avg": torch.ones_like(stack), "step": torch.tensor(3.0)}}
    learner.forget(state)
    assert torch.equal(state[stack]["exp_avg"] != 0, stack != 0)
    assert float(state[stack]["step"]) == 3


def test_names_that_peft_takes_for_experts_are_refused() -> None:
    model: Any = build("qwen3_moe")  # its second block has no experts
    with pytest.raises(ModelError, match=r"mlp\..*_proj.*fused experts.*exclude"):
        lora_config(model)
    config = lora_config(model, exclude=["*gate_proj", "*up_proj", "*down_proj"])
    assert len(config.target_modules) == 12
    lora_config(build("mixtral"))


class _Cut(Exception):
    """The plug was pulled."""


@pytest.mark.parametrize("update", ["low-rank", "values"])
def test_a_run_that_was_cut_off_ends_as_an_undisturbed_one(tmp_path: Path, update: str) -> None:
    def run(folder: Path, stop: int | None = None) -> Any:
        def watch(info: dict[str, Any]) -> None:
            if info["step"] == stop:
                raise _Cut

        model: Any = build("qwen3_moe").eval()
        losa(model, tokens().repeat(10, 1), sparsity=0.4, steps=2, rank=3, update=update,
             windows=2, every=2, train=FAST, folder=folder, resume=True, watch=watch)
        return model

    with pytest.raises(_Cut):
        run(tmp_path / "cut", stop=5)
    found, undisturbed = run(tmp_path / "cut").state_dict(), run(tmp_path / "whole").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in undisturbed.items())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_checkpointing_learns_the_same(checkpointing: bool) -> None:
    model, _ = sparse_mixture("mixtral")
    done = recover(model, tokens().repeat(4, 1), rank=3,
                   train=TrainOptions(learning_rate=2e-2, checkpointing=checkpointing))
    again, _ = sparse_mixture("mixtral")
    other = recover(again, tokens().repeat(4, 1), rank=3,
                    train=TrainOptions(learning_rate=2e-2, checkpointing=not checkpointing))
    assert done.losses == pytest.approx(other.losses, rel=1e-5)
