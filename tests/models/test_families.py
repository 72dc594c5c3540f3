"""Every family: blocks and targets found, replay equal to the model, watched inputs right."""

from __future__ import annotations

import itertools

import pytest
import torch
from models.families import (
    FAMILIES,
    MIXTURES,
    PREFIX,
    SLIDING,
    WINDOW,
    expected_in_block,
    relative_error,
    tokens,
)
from torch import nn

from neurosparse.models import (
    BlockWalk,
    find_blocks,
    find_targets,
    get_weight,
    watch_inputs,
)

every_family = pytest.mark.parametrize("family_model", FAMILIES, indirect=True)
both = pytest.mark.parametrize(
    ("family", "family_model"), [(name, name) for name in FAMILIES], indirect=["family_model"]
)


@both
def test_blocks_are_all_and_only_the_decoder_blocks(family: str, family_model: nn.Module) -> None:
    blocks = find_blocks(family_model)
    prefix = PREFIX.get(family, "model.layers")
    assert blocks.prefix == prefix
    assert blocks.names == tuple(f"{prefix}.{index}" for index in range(3))
    for name, module in blocks:
        assert family_model.get_submodule(name) is module


@both
def test_targets_cover_all_block_linears_and_nothing_else(
    family: str, family_model: nn.Module
) -> None:
    blocks, targets = find_blocks(family_model), find_targets(family_model)
    names = [target.name for target in targets]
    expected = {
        f"{block}.{name}"
        for index, block in enumerate(blocks.names)
        for name in expected_in_block(family, index)
    }
    assert len(names) == len(set(names))
    assert set(names) == expected
    assert [target.block for target in targets] == sorted(target.block for target in targets)
    for target in targets:
        weight = get_weight(family_model, target)
        assert tuple(weight.shape) == target.shape
        assert weight.numel() == target.size
        assert target.name.startswith(blocks.names[target.block] + ".")


@every_family
def test_targets_come_in_forward_order(family_model: nn.Module) -> None:
    targets = find_targets(family_model)
    order: list[str] = []
    with watch_inputs(family_model, targets, lambda target, _: order.append(target.name)):
        family_model(input_ids=tokens(1, 20), use_cache=False)
    stage = {name: index for index, name in enumerate(order)}
    seen = [target for target in targets if target.name in stage and target.expert is None]
    outputs = {"o_proj", "out_proj", "dense", "down_proj", "fc2", "dense_4h_to_h", "c_proj"}
    for earlier, later in itertools.pairwise(seen):
        if later.role in outputs and earlier.role != later.role:
            assert stage[earlier.name] < stage[later.name], (earlier.name, later.name)


@every_family
def test_walk_through_all_blocks_equals_the_model(family_model: nn.Module) -> None:
    # 5 windows in batches of 2: batch above 1, and a last batch that is smaller.
    ids = tokens(5, 20)
    expected = family_model(input_ids=ids, use_cache=False).logits
    walk = BlockWalk(family_model, ids, batch_size=2)
    assert (walk.n_blocks, walk.n_batches) == (3, 3)
    for index in range(walk.n_blocks):
        with walk.block(index):
            walk.run(index, keep=False)
            walk.run(index, keep=True)
    found = torch.cat([walk.logits(batch) for batch in range(walk.n_batches)])
    assert relative_error(found, expected) < 1e-5


@pytest.mark.parametrize("family_model", SLIDING, indirect=True)
def test_the_test_length_lies_beyond_the_sliding_window(family_model: nn.Module) -> None:
    # Otherwise the test above would not see a wrong mask: the first token must not reach the last
    # position through a sliding block alone.
    ids = tokens(1, 20)
    assert ids.shape[1] > 2 * WINDOW
    walk = BlockWalk(family_model, ids, batch_size=1)
    kinds = getattr(family_model.config, "layer_types", None) or ["sliding_attention"]
    index = kinds.index("sliding_attention")
    hidden = walk.hidden(0)
    moved = hidden.clone()
    moved[:, 0] += 1.0
    with walk.block(index):
        change = walk.run_on(index, moved, 0) - walk.run_on(index, hidden, 0)
    assert change[:, 0].abs().max() > 0
    assert change[:, WINDOW + 1 :].abs().max() == 0


@every_family
def test_attention_is_causal(family_model: nn.Module) -> None:
    walk = BlockWalk(family_model, tokens(2, 12), batch_size=2)
    for index in range(walk.n_blocks):
        hidden = walk.hidden(0)
        moved = hidden.clone()
        moved[:, 7] += 1.0
        change = (walk.run_on(index, moved, 0) - walk.run_on(index, hidden, 0)).abs()
        # A mixture computes experts together, in another order when one token is routed anew.
        assert change[:, :7].max() < 1e-5 * hidden.abs().max()
        assert change[:, 7].max() > 1e-3
        walk.run(index, keep=True)


@every_family
def test_watched_inputs_give_the_modules_outputs(family_model: nn.Module) -> None:
    targets = [target for target in find_targets(family_model) if target.expert is None]
    inputs: dict[str, list[torch.Tensor]] = {}
    outputs: dict[str, list[torch.Tensor]] = {}

    def keep(name: str, out: torch.Tensor) -> None:
        # A copy: Falcon adds to this tensor in place afterwards.
        outputs.setdefault(name, []).append(out.clone())

    handles = [
        family_model.get_submodule(target.name).register_forward_hook(
            lambda _module, _args, out, name=target.name: keep(name, out)
        )
        for target in targets
    ]
    walk = BlockWalk(family_model, tokens(5, 20), batch_size=2)
    for stored in outputs.values():
        stored.clear()
    with watch_inputs(
        family_model, targets, lambda t, x: inputs.setdefault(t.name, []).append(x.clone())
    ):
        for index in range(walk.n_blocks):
            walk.run(index, keep=True)
    for handle in handles:
        handle.remove()
    for target in targets:
        x = torch.cat(inputs[target.name])
        assert x.shape == (5 * 20, target.shape[1])
        bias = family_model.get_submodule(target.name).bias
        y = x @ get_weight(family_model, target).T + (0 if bias is None else bias)
        expected = torch.cat([out.reshape(-1, target.shape[0]) for out in outputs[target.name]])
        assert relative_error(y, expected) < 1e-5, target.name


@pytest.mark.parametrize("family_model", MIXTURES, indirect=True)
def test_watched_expert_inputs_give_the_experts_output(family_model: nn.Module) -> None:
    targets = [target for target in find_targets(family_model) if target.expert is not None]
    seen: dict[str, torch.Tensor] = {}
    calls: dict[str, tuple[tuple[torch.Tensor, ...], torch.Tensor]] = {}
    paths = sorted({target.module_name for target in targets})

    def keep(name: str):
        def hook(_module, args, kwargs, out):
            calls[name] = ((*args, *kwargs.values()), out)

        return hook

    handles = [
        family_model.get_submodule(path).register_forward_hook(keep(path), with_kwargs=True)
        for path in paths
    ]
    with watch_inputs(
        family_model, targets, lambda t, x: seen.__setitem__(t.name, x.clone())
    ):
        family_model(input_ids=tokens(3, 20), use_cache=False)
    for handle in handles:
        handle.remove()
    for path in paths:
        module = family_model.get_submodule(path)
        (hidden, chosen, weights, *_), expected = calls[path]
        hidden = hidden.reshape(-1, hidden.shape[-1])
        total = torch.zeros_like(hidden)
        for target in targets:
            if target.module_name != path or target.name not in seen:
                continue
            rows, slots = torch.where(chosen == target.expert)
            if target.role == "gate_up_proj":
                assert torch.equal(seen[target.name], hidden[rows])
                continue
            y = seen[target.name] @ get_weight(family_model, target).T
            if "down_proj_bias" in module._parameters:
                y = y + module.down_proj_bias[target.expert]
            total.index_add_(0, rows, y * weights[rows, slots, None])
        assert relative_error(total, expected.reshape(total.shape)) < 1e-5


@pytest.mark.parametrize("family_model", ["mixtral"], indirect=True)
def test_an_expert_without_tokens_is_not_reported(family_model: nn.Module) -> None:
    targets = find_targets(family_model)
    seen: set[str] = set()
    with watch_inputs(family_model, targets, lambda t, x: seen.add(t.name)):
        family_model(input_ids=tokens(1, 2), use_cache=False)
        chosen = {name for name in seen if "#" in name}
    # One window of two tokens and two experts each cannot reach all four everywhere.
    assert 0 < len(chosen) < sum(target.expert is not None for target in targets)
