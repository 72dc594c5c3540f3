"""Weights that come from sharded safetensors one block at a time."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from models.families import FAMILIES, build, tokens
from torch import nn

from neurosparse.errors import FormatError, InputError, ModelError
from neurosparse.models import (
    BlockWalk,
    find_blocks,
    find_targets,
    get_weight,
    identity,
    is_streamed,
    load,
    load_empty,
    nan_check,
    set_weight,
    watch_inputs,
)


def save(model: nn.Module, folder: Path, shard: str = "20KB") -> Path:
    model.save_pretrained(folder, max_shard_size=shard)
    return folder


def logits(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    walk = BlockWalk(model, ids, batch_size=2)
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
    return torch.cat([walk.logits(batch) for batch in range(walk.n_batches)])


def in_memory(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if not parameter.is_meta]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_streamed_model_is_bit_equal_to_the_loaded_one(family: str, tmp_path: Path) -> None:
    folder = save(build(family), tmp_path / "model")
    assert len(list(folder.glob("*.safetensors"))) > 3
    whole = load(folder)
    streamed = load(folder, stream=True)
    assert whole.tokenizer is None and streamed.tokenizer is None
    assert is_streamed(streamed.model) and not is_streamed(whole.model)
    assert identity(streamed.model) == identity(whole.model)
    assert identity(load_empty(folder))["sha256"] == identity(whole.model)["sha256"]
    blocks = find_blocks(streamed.model)
    assert all(p.is_meta for block in blocks.modules for p in block.parameters())
    assert all(not name.startswith(blocks.prefix) for name in in_memory(streamed.model))
    ids = tokens(3, 20)
    # The same kernels on the same numbers: not one bit may differ.
    assert torch.equal(logits(streamed.model, ids), logits(whole.model, ids))
    assert all(p.is_meta for block in blocks.modules for p in block.parameters())
    assert find_targets(streamed.model) == find_targets(whole.model)
    for target in find_targets(whole.model)[:: 7]:
        walk = BlockWalk(streamed.model, ids)
        with walk.block(target.block):
            there = get_weight(streamed.model, target)
            assert torch.equal(there, get_weight(whole.model, target)), target.name


@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_dtypes_are_cast_when_read(family: str, tmp_path: Path) -> None:
    folder = save(build(family).to(torch.bfloat16), tmp_path / "model")
    ids = tokens(2, 8)
    for dtype in ("float32", "bfloat16", "auto"):
        whole, streamed = load(folder, dtype=dtype), load(folder, dtype=dtype, stream=True)
        assert whole.source.description == "safetensors bfloat16"
        assert streamed.model.dtype == whole.model.dtype
        assert torch.equal(logits(streamed.model, ids), logits(whole.model, ids))
    assert whole.model.dtype == torch.bfloat16


def test_entries_nest_and_changes_are_dropped_at_exit(tmp_path: Path) -> None:
    model = load(save(build("llama"), tmp_path / "model"), stream=True).model
    target = find_targets(model)[0]
    walk = BlockWalk(model, tokens(2, 6))
    with pytest.raises(ModelError, match="meta device"):
        get_weight(model, target)
    with walk.block(0):
        before = get_weight(model, target).clone()
        set_weight(model, target, torch.zeros(target.shape))
        with walk.block(0):
            assert not get_weight(model, target).any()
        walk.run(0, keep=False)
        assert not get_weight(model, target).any()
    with pytest.raises(ModelError, match="meta device"):
        set_weight(model, target, before)
    with walk.block(0):
        assert torch.equal(get_weight(model, target), before)


def test_the_block_is_dropped_after_a_failure(tmp_path: Path) -> None:
    model = load(save(build("llama"), tmp_path / "model"), stream=True).model
    walk = BlockWalk(model, tokens(2, 6))
    with pytest.raises(RuntimeError), walk.block(1):
        raise RuntimeError
    assert all(p.is_meta for p in find_blocks(model).modules[1].parameters())


def test_changed_weights_are_used_and_watched(tmp_path: Path) -> None:
    folder = save(build("mixtral"), tmp_path / "model")
    streamed, whole = load(folder, stream=True).model, load(folder).model
    targets = [t for t in find_targets(whole) if t.block == 1]
    seen: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    outputs = []
    for stream, model in ((True, streamed), (False, whole)):
        walk = BlockWalk(model, tokens(3, 8), batch_size=2)
        walk.run(0, keep=True)
        with walk.block(1):
            for target in targets:
                set_weight(model, target, get_weight(model, target) * 0.5)
            with watch_inputs(model, targets, lambda t, x, s=stream: seen[s].append(x.clone())):
                walk.run(1, keep=True)
        outputs.append(walk.hidden(0))
    assert torch.equal(outputs[0], outputs[1])
    assert len(seen[True]) == len(seen[False]) > 0
    assert all(torch.equal(a, b) for a, b in zip(seen[True], seen[False], strict=True))


def test_it_works_under_inference_mode(tmp_path: Path) -> None:
    folder = save(build("llama"), tmp_path / "model")
    ids = tokens(2, 8)
    with torch.inference_mode():
        found = logits(load(folder, stream=True).model, ids)
    assert torch.equal(found, logits(load(folder).model, ids))


def test_nan_check_opens_every_block(tmp_path: Path) -> None:
    dense = build("llama")
    target = find_targets(dense)[9]
    get_weight(dense, target)[1, 2] = float("nan")
    model = load(save(dense, tmp_path / "model"), stream=True).model
    with pytest.raises(ModelError, match=target.name.replace(".", r"\.")):
        nan_check(model, find_targets(model))
    assert all(p.is_meta for block in find_blocks(model).modules for p in block.parameters())


def test_no_random_numbers_are_drawn(tmp_path: Path) -> None:
    folder = save(build("gemma3"), tmp_path / "model")
    state = torch.get_rng_state()
    load(folder, stream=True)
    load(folder)
    load_empty(folder)
    assert torch.equal(torch.get_rng_state(), state)


def rewrite(path: Path, drop: str) -> None:
    """Take one tensor's entry out of a shard, keeping the file otherwise legal."""
    from safetensors.torch import load_file, save_file

    state = load_file(path)
    state.pop(drop)
    save_file(state, path)


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"]
)
def test_a_missing_weight_is_named(tmp_path: Path, name: str) -> None:
    folder = save(build("llama"), tmp_path / "model", "10MB")
    rewrite(folder / "model.safetensors", name)
    for stream in (False, True):
        with pytest.raises(FormatError, match=name.replace(".", r"\.")):
            logits(load(folder, stream=stream).model, tokens(2, 6))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = save(build("llama"), tmp_path / "model", "10MB")
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 40
    (folder / "config.json").write_text(json.dumps(config))
    for stream in (False, True):
        with pytest.raises(FormatError) as error:
            logits(load(folder, stream=stream).model, tokens(2, 6))
        assert "\n" not in str(error.value)


def test_a_streamed_model_needs_a_folder_and_one_device(tmp_path: Path) -> None:
    folder = save(build("llama"), tmp_path / "model")
    with pytest.raises(InputError, match="device_map"):
        load(folder, stream=True, device_map="auto")


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    path.write_bytes(
        {
            "empty": b"",
            "seven bytes": data[:7],
            "cut in the header": data[: 8 + length // 2],
            "cut in the data": data[:-100],
            "longer": data + b"x",
            "header not JSON": data[:8] + b"!" + data[9:],
            "length absurd": struct.pack("<Q", 2**60) + data[8:],
            "no safetensors": b"PK\x03\x04" + data[4:],
        }[how]
    )


@pytest.mark.parametrize(
    "how",
    ["empty", "seven bytes", "cut in the header", "cut in the data", "longer", "header not JSON",
     "length absurd", "no safetensors"],
)
def test_damaged_safetensors_are_one_clear_error(tmp_path: Path, how: str) -> None:
    folder = save(build("llama"), tmp_path / "model")
    victim = sorted(folder.glob("*.safetensors"))[2]
    damage(victim, how)
    for stream in (False, True):
        with pytest.raises(FormatError) as error:
            load(folder, stream=stream)
        assert victim.name in str(error.value) and "\n" not in str(error.value)


def test_shapes_that_do_not_fit_their_bytes_are_refused(tmp_path: Path) -> None:
    folder = save(build("llama"), tmp_path / "model", "10MB")
    path = folder / "model.safetensors"
    data = path.read_bytes()
    assert b"[32,32]" in data
    path.write_bytes(data.replace(b"[32,32]", b"[32,31]", 1))
    with pytest.raises(FormatError, match="bytes for model"):
        load(folder)
