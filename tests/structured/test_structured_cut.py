"""Masked, cut, generated: what is cut out is what the masks say, on every family."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from models.families import build, relative_error, tokens
from structured.cases import DENSE, MIXTURES, WAYS, logits, numbers, rates
from transformers import DynamicCache

from neurosparse.errors import InputError, ModelError
from neurosparse.pruning.structured import (
    choose,
    cut,
    find_groups,
    make_plan,
    masked,
    prune_structured,
    structured_scores,
)


def chosen(model: Any, options: dict[str, Any], *, method: str = "wanda-sp") -> tuple[Any, Any]:
    groups = find_groups(model, **options)
    plan = make_plan(model, rates(0.25, 0.4, 0.55), groups)
    return groups, choose(groups, structured_scores(model, tokens(), groups, method=method), plan)


@pytest.mark.parametrize(("family", "options"), WAYS)
def test_masked_and_cut_give_the_same_logits(family: str, options: dict[str, Any]) -> None:
    model = build(family)
    groups, kept = chosen(model, options)
    dense = logits(model, tokens())
    with masked(model, groups, kept):
        expected = logits(model, tokens())
    assert torch.equal(logits(model, tokens()), dense)
    assert relative_error(expected, dense) > 0.05
    before = numbers(model)
    report = cut(model, groups, kept)
    assert relative_error(logits(model, tokens()), expected) < 1e-5
    assert before - numbers(model) == report.removed > 0
    assert {kind for kind in ("heads", "kv_heads", "neurons", "experts")
            for site in report.sites.values() if site.after.get(kind, 9**9) <
            site.before.get(kind, 0)} >= ({"heads"} | ({"experts"} if "experts" in options
                                                       else {"neurons"}))


def test_a_failing_evaluation_leaves_the_model_as_it_was() -> None:
    model = build("mixtral")
    groups, kept = chosen(model, {})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(KeyError), masked(model, groups, kept):
        changed = model.model.layers[1].mlp.experts.down_proj
        assert not torch.equal(changed, before["model.layers.1.mlp.experts.down_proj"])
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", [*DENSE, *MIXTURES])
def test_generation_with_a_cache_equals_generation_without(family: str) -> None:
    model = build(family)
    budget = [rates(4, 2, 4, kind="heads"), rates(40, 48, 8, kind="neurons")]
    if family in MIXTURES:
        budget = budget[:1]
    prune_structured(model, budget, tokens())
    start = tokens(2, 12)
    options: dict[str, Any] = {"max_new_tokens": 10, "do_sample": False}
    without = model.generate(start, use_cache=False, **options)
    assert torch.equal(model.generate(start, use_cache=True, **options), without)
    assert without.shape[1] > 12
    cache = DynamicCache(config=model.config)
    model(start, past_key_values=cache)
    assert [layer.keys.shape[1] for layer in cache.layers] == [2, 1, 2]


@pytest.mark.parametrize("compensate", [True, False])
@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_what_gives_nothing_goes_first_and_changes_nothing(family: str, compensate: bool) -> None:
    model = build(family)
    block = model.model.layers[1]
    block.self_attn.o_proj.weight[:, 16:] = 0.0  # the second of two groups of two heads of 8
    gone = torch.tensor([3, 17, 40])
    block.mlp.down_proj.weight[:, gone] = 0.0
    dense = logits(model, tokens())
    names = ["model.layers.1"]
    report = prune_structured(model, [rates(2, kind="heads", names=names),
                                      rates(45, kind="neurons", names=names)], tokens(),
                              compensate=compensate)
    assert report.sites["model.layers.1.self_attn"].kept == {"heads": [0, 1], "kv_heads": [0]}
    assert set(range(48)) - set(report.sites["model.layers.1.mlp"].kept["neurons"]) == {3, 17, 40}
    assert relative_error(logits(model, tokens()), dense) < 1e-5


def test_a_cut_model_is_cut_again_copied_and_told_its_attention() -> None:
    """Phi-3 reads its heads from the configuration; the view must survive all of this."""
    model = build("phi3")
    prune_structured(model, rates(0.0, 0.5, 0.0), tokens())
    prune_structured(model, rates(0.5, 0.0, 0.0), tokens())
    attention = [layer.self_attn for layer in model.model.layers]
    assert [part.config.num_attention_heads for part in attention] == [2, 2, 4]
    assert model.config.num_attention_heads == 4
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin, tokens()), logits(model, tokens()))
    model.set_attn_implementation("eager")
    assert attention[0].config._attn_implementation == "eager"
    assert relative_error(logits(model, tokens()), logits(twin, tokens())) < 1e-5


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "falcon", "opt"])
def test_other_architectures_are_refused(family: str) -> None:
    with pytest.raises(ModelError, match=r"neurosparse\.pruning\.prune"):
        find_groups(build(family))


def test_a_norm_over_all_heads_is_refused() -> None:
    model = build("qwen3")
    model.model.layers[2].self_attn.q_norm.weight = torch.nn.Parameter(torch.ones(32))
    with pytest.raises(ModelError, match=r"q_norm.weight of shape \(32,\)"):
        find_groups(model)


@pytest.mark.parametrize("kept", [
    {"heads": [0, 1]},
    {"heads": [], "kv_heads": []},
    {"heads": [0, 4], "kv_heads": [0]},
    {"heads": [1, 0], "kv_heads": [0]},
    {"heads": [0, 2, 3], "kv_heads": [0, 1]},
    {"heads": [0, 1], "kv_heads": [1]},
])
def test_indices_that_do_not_fit_are_refused(kept: dict[str, list[int]]) -> None:
    model = build("llama")
    groups = find_groups(model)
    indices = {axis: torch.tensor(rows, dtype=torch.int64) for axis, rows in kept.items()}
    with pytest.raises(InputError, match="self_attn"):
        cut(model, groups, {"model.layers.0.self_attn": indices})
    with pytest.raises(InputError, match="self_attn"), masked(
            model, groups, {"model.layers.0.self_attn": indices}):
        pass
    with pytest.raises(InputError, match="look up"):
        cut(model, groups, {"model.layers.9.mlp": {"neurons": torch.arange(3)}})


def test_few_tokens_for_a_fit_are_told() -> None:
    text = tokens(20, 20)  # 400 tokens; 48 neurons are the most inputs, 8 tokens each are 384
    enough = prune_structured(build("llama"), rates(0.25, 0.4, 0.55), text)
    assert not [note for note in enough.notes if "tokens" in note]
    scarce = prune_structured(build("llama"), rates(0.25, 0.4, 0.55), text[:19])
    assert [note for note in scarce.notes if "380 calibration tokens" in note and "384" in note]
    told = prune_structured(build("llama"), rates(0.25, 0.4, 0.55), text[:2], compensate="bias")
    assert not [note for note in told.notes if "tokens" in note]  # nothing is fitted
