"""Models dispatched by accelerate: offloaded weights, device maps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from models.families import build, tokens
from torch import nn

from neurosparse.errors import ModelError
from neurosparse.models import (
    BlockWalk,
    find_blocks,
    find_targets,
    get_weight,
    identity,
    load,
    nan_check,
    set_weight,
    watch_inputs,
)

FAMILIES = ["llama", "falcon", "gemma3", "mixtral", "gpt_oss"]


def logits(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    walk = BlockWalk(model, ids, batch_size=2)
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
    return torch.cat([walk.logits(batch) for batch in range(walk.n_batches)])


@pytest.mark.parametrize("family", FAMILIES)
def test_offloaded_weights_walk_like_those_in_memory(family: str) -> None:
    model, ids = build(family), tokens(5, 20)
    mark, expected = identity(model), logits(model, ids)
    forwards = model(input_ids=ids, use_cache=False).logits
    cpu_offload(model, execution_device=torch.device("cpu"))
    assert all(p.is_meta for p in find_blocks(model).modules[0].parameters())
    assert torch.equal(logits(model, ids), expected)
    assert identity(model)["sha256"] == mark["sha256"]
    assert torch.equal(model(input_ids=ids, use_cache=False).logits, forwards)


@pytest.mark.parametrize("family", FAMILIES)
def test_offloaded_weights_are_read_and_written_through(family: str) -> None:
    model, twin, ids = build(family), build(family), tokens(3, 12)
    targets = find_targets(model)
    cpu_offload(model, execution_device=torch.device("cpu"))
    nan_check(model, targets)
    for target in targets:
        assert torch.equal(get_weight(model, target), get_weight(twin, target))
        half = get_weight(twin, target) * 0.5
        set_weight(model, target, half)
        set_weight(twin, target, half)
        assert torch.equal(get_weight(model, target), half)
    expected = twin(input_ids=ids, use_cache=False).logits
    assert torch.equal(model(input_ids=ids, use_cache=False).logits, expected)


@pytest.mark.parametrize("family", ["llama", "mixtral", "gpt_oss"])
def test_offloaded_inputs_are_watched(family: str) -> None:
    model, twin, ids = build(family), build(family), tokens(3, 12)
    cpu_offload(model, execution_device=torch.device("cpu"))
    seen: list[dict[str, torch.Tensor]] = [{}, {}]
    for kept, one in zip(seen, (model, twin), strict=True):
        with watch_inputs(
            one, find_targets(one), lambda t, x, k=kept: k.__setitem__(t.name, x.clone())
        ):
            one(input_ids=ids, use_cache=False)
    assert seen[0].keys() == seen[1].keys()
    assert all(torch.equal(seen[0][name], seen[1][name]) for name in seen[0])


def test_a_model_dispatched_in_parts() -> None:
    model, ids = build("llama"), tokens(5, 20)
    expected = logits(model, ids)
    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu",
              "lm_head": "cpu", **{f"model.layers.{index}": "cpu" for index in range(3)}}
    dispatch_model(model, places, main_device="cpu", force_hooks=True)
    assert hasattr(model, "hf_device_map")
    hooked = [block.__dict__["forward"] for block in find_blocks(model).modules]
    assert torch.equal(logits(model, ids), expected)
    # accelerate's own forwards are back where it put them.
    assert [block.__dict__["forward"] for block in find_blocks(model).modules] == hooked


def test_writing_to_weights_on_disk_is_refused(tmp_path: Path) -> None:
    model = build("llama")
    target = find_targets(model)[0]
    disk_offload(model, tmp_path, execution_device=torch.device("cpu"))
    for call in (
        lambda: set_weight(model, target, torch.zeros(target.shape)),
        lambda: get_weight(model, target),
    ):
        with pytest.raises(ModelError, match="stream=True"):
            call()


def test_load_with_a_device_map(tmp_path: Path) -> None:
    model, ids = build("qwen3"), tokens(3, 12)
    model.save_pretrained(tmp_path)
    loaded = load(tmp_path, device_map={"": "cpu"}).model
    assert torch.equal(logits(loaded, ids), logits(model, ids))
    for places in ({"model.embed_tokens": "cpu", "": "disk"}, "disk"):
        with pytest.raises(ModelError, match="stream=True"):
            load(tmp_path, device_map=places)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_blocks_on_two_devices() -> None:
    model, ids = build("llama"), tokens(5, 20)
    expected = logits(model, ids)
    places = {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.norm": "cpu",
              "lm_head": "cpu", "model.layers.0": 0, "model.layers.1": "cpu",
              "model.layers.2": 0}
    dispatch_model(model, places)
    assert torch.allclose(logits(model, ids).cpu(), expected, atol=1e-3)
    set_weight(model, find_targets(model)[8], torch.zeros(find_targets(model)[8].shape))
    assert not get_weight(model, find_targets(model)[8]).any()
