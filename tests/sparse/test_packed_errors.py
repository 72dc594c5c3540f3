"""Corrupt files and impossible wishes get one clear error, and nothing half-written stays."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sparse_cases import build
from torch import nn
from transformers import AutoModelForCausalLM

from neurosparse import models
from neurosparse.errors import FormatError, InputError, ModelError, StorageError
from neurosparse.sparse import is_packed, load, register, save, shards

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(build("llama"), tmp_path / "packed", values="int8")
    return tmp_path / "packed"


def change_config(folder: Path, **entries: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name, value in entries.items():
        if value is None:
            del config["quantization_config"][name]
        else:
            config["quantization_config"][name] = value
    path.write_text(json.dumps(config))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Other tensors in a file that is itself whole and has no hash."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    change_config(folder, sha256=None)


def from_pretrained(folder: Path) -> Any:
    register()
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("read", [load, from_pretrained])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_shard(folder: Path, share: float, read: Callable[[Path], Any]) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FormatError, match="SHA-256"):
        read(folder)
    change_config(folder, sha256=None)
    with pytest.raises(FormatError, match=r"cut|header"):
        read(folder)


@pytest.mark.parametrize("read", [load, from_pretrained])
@pytest.mark.parametrize("place", [3, 40, 20_000, -1])
def test_a_flipped_byte(folder: Path, place: int, read: Callable[[Path], Any]) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[place] ^= 16
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(FormatError, match="SHA-256"):
        read(folder)


@pytest.mark.parametrize("read", [load, from_pretrained])
@pytest.mark.parametrize("entries", [
    {"version": 2}, {"version": 3}, {"group": 64}, {"version": True},
    {"version": 2, "group": 64, "values": "bf16"}, {"version": 2, "group": 48},
    {"version": "1"}, {"version": None}, {"values": "int4"},
    {"format": "csr"}, {"order": "tiles"}, {"surprise": 1}, {"packed": None}, {"packed": [3]},
    {"sha256": ["x"]}, {"values": "bf16"}, {"packed": ["model.layers.0.mlp.up_proj"]},
    {"packed": ["model.layers.[0-x].mlp.up_proj"]}, {"packed": ["a.[0-99999999].b"]},
    {"sha256": {"other.safetensors": "00"}},
])
def test_a_configuration_that_is_not_ours(folder: Path, entries: dict[str, Any],
                                          read: Callable[[Path], Any]) -> None:
    change_config(folder, **entries)
    with pytest.raises(FormatError):
        read(folder)


@pytest.fixture
def grouped(tmp_path: Path) -> Path:
    save(build("llama"), tmp_path / "packed", values="int4", group_size=32)
    return tmp_path / "packed"


@pytest.mark.parametrize("read", [load, from_pretrained])
@pytest.mark.parametrize("entries", [
    {"version": 1}, {"group": 64.0}, {"group": 48}, {"group": "32"}, {"group": True}, {"group": []},
    {"group": 512}, {"group": 64}, {"values": "int8"}, {"values": "bf16"}, {"values": "fp16"},
])
def test_groups_that_are_none(grouped: Path, entries: dict[str, Any], read: Callable[[Path], Any]
                              ) -> None:
    change_config(grouped, **entries)
    with pytest.raises(FormatError):
        read(grouped)


@pytest.mark.parametrize("change", [
    lambda t: t.pop("model.layers.0.mlp.up_proj.scales"),
    lambda t: t.update({"model.layers.0.mlp.up_proj.scales": t[
        "model.layers.0.mlp.up_proj.scales"].float()}),
    lambda t: t.update({"model.layers.0.mlp.up_proj.scales": t[
        "model.layers.0.mlp.up_proj.scales"][:, :1].clone()}),
    lambda t: t.update({"model.layers.0.mlp.up_proj.scales": t[
        "model.layers.0.mlp.up_proj.scales"][:-1].clone()}),
    lambda t: t.update({"model.layers.0.mlp.up_proj.values": t[
        "model.layers.0.mlp.up_proj.values"].view(torch.int8)}),
    lambda t: t.update({"model.layers.0.mlp.up_proj.values": t[
        "model.layers.0.mlp.up_proj.values"][:-64].clone()}),
    lambda t: t["model.layers.0.mlp.up_proj.bitmap"][:8].fill_(255),
])
def test_int4_tensors_that_do_not_fit(grouped: Path,
                                      change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    change_tensors(grouped, change)
    with pytest.raises(FormatError):
        load(grouped)


@pytest.mark.parametrize("change", [
    lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.scales"),
    lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.values"),
    lambda tensors: tensors.update({"model.layers.0.mlp.up_proj.bitmap": torch.zeros(
        72, 16, dtype=torch.uint8)}),
    lambda tensors: tensors.update({"model.layers.0.mlp.up_proj.values": torch.zeros(
        5, 5, dtype=torch.int8)}),
    lambda tensors: tensors.update({"model.layers.0.mlp.up_proj.values": torch.zeros(9000)}),
    lambda tensors: tensors.update({"model.layers.9.mlp.up_proj.bitmap": torch.zeros(
        72, 8, dtype=torch.uint8)}),
    lambda tensors: tensors.update({"model.norm.bitmap": torch.zeros(48, 8, dtype=torch.uint8)}),
    lambda tensors: tensors.pop("model.norm.weight"),
    lambda tensors: tensors.update({"model.norm.weight": torch.zeros(3)}),
    lambda tensors: tensors.update({"nobody.weight": torch.zeros(3)}),
    # One value too few for the bits that are set: the kernels would read past the end.
    lambda tensors: tensors.update({"model.layers.0.mlp.up_proj.values": tensors[
        "model.layers.0.mlp.up_proj.values"][:-64].clone()}),
    lambda tensors: tensors["model.layers.0.mlp.up_proj.bitmap"][0].fill_(255),
    lambda tensors: tensors["model.layers.0.mlp.up_proj.bitmap"].copy_(
        tensors["model.layers.0.mlp.up_proj.bitmap"].roll(1, 1)),
])
def test_tensors_that_do_not_fit(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]
                                 ) -> None:
    change_tensors(folder, change)
    with pytest.raises(FormatError):
        load(folder)


def test_one_half_of_packed_experts(tmp_path: Path) -> None:
    save(build("mixtral"), tmp_path / "packed", values="bf16")

    def half(tensors: dict[str, torch.Tensor]) -> None:
        for part in ("bitmap", "values"):
            del tensors[f"model.layers.0.mlp.experts.down_proj.{part}"]

    change_tensors(tmp_path / "packed", half)
    with pytest.raises(FormatError, match="experts"):
        load(tmp_path / "packed")


def test_files_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load(tmp_path / "nowhere")
    (folder / WEIGHTS).unlink()
    with pytest.raises(FormatError, match=WEIGHTS):
        load(folder)
    save(build("llama"), folder, max_shard_bytes=30_000)
    sorted(folder.glob("*.safetensors"))[1].unlink()
    with pytest.raises(FormatError, match="00002"):
        load(folder)
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(FormatError, match="weight_map"):
        load(folder)


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    assert not is_packed(tmp_path) and not is_packed("smollm2") and not is_packed(tmp_path / "x")
    model = build("llama")
    model.save_pretrained(tmp_path / "dense")
    assert not is_packed(tmp_path / "dense")
    with pytest.raises(FormatError, match="quantization_config"):
        load(tmp_path / "dense")
    for text in ("{", "[]", '{"quantization_config": []}'):
        (tmp_path / "config.json").write_text(text)
        assert not is_packed(tmp_path)
        with pytest.raises(FormatError):
            load(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    for name in ("mine", "dense"):  # never replaced: they are no packed models
        before = sorted(path.name for path in (tmp_path / name).iterdir())
        with pytest.raises(InputError, match="other things"):
            save(model, tmp_path / name)
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == before


@pytest.mark.parametrize("header", [
    b"[]", b'{"x": 3}', b'{"x": {"dtype": "U4", "shape": [1], "data_offsets": [0, 1]}}', b"\xff",
])
def test_headers_that_are_none(folder: Path, header: bytes) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + b"\0")
    change_config(folder, sha256=None)
    with pytest.raises(FormatError, match="header"):
        load(folder)


@pytest.mark.parametrize("read", [load, from_pretrained])
@pytest.mark.parametrize("change", [
    lambda entry: entry["data_offsets"].__setitem__(0, entry["data_offsets"][0] + 64),
    lambda entry: entry["shape"].__setitem__(0, entry["shape"][0] + 1),
    lambda entry: entry["shape"].__setitem__(0, -entry["shape"][0]),
    lambda entry: entry.update(dtype="F64"),
])
def test_headers_whose_tensors_overlap(folder: Path, change: Callable[[dict[str, Any]], None],
                                       read: Callable[[Path], Any]) -> None:
    data = (folder / WEIGHTS).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header["model.layers.0.mlp.up_proj.values"])
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    change_config(folder, sha256=None)
    with pytest.raises(FormatError, match="bytes"):
        read(folder)


@pytest.mark.parametrize("entry", ["hidden_size", "model_type", "rms_norm_eps"])
def test_configurations_that_transformers_refuses(folder: Path, entry: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {entry: [None]}))
    with pytest.raises(FormatError, match="transformers"):
        load(folder)


@pytest.mark.parametrize(("code", "kind"), [
    (errno.ENOSPC, StorageError), (errno.EIO, OSError), (None, KeyboardInterrupt)])
@pytest.mark.parametrize("before", [False, True])
def test_a_failing_save_leaves_nothing_behind(before: bool, code: int | None, kind: type,
                                              tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                              ) -> None:
    model = build("llama")
    if before:
        save(model, tmp_path / "packed")
    there = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    real, calls = shards.ShardWriter.add, []

    def failing(self: Any, name: str, tensor: torch.Tensor) -> None:
        calls.append(name)
        if len(calls) == 9:
            raise KeyboardInterrupt if code is None else OSError(code, "failed")
        real(self, name, tensor)

    monkeypatch.setattr(shards.ShardWriter, "add", failing)
    with pytest.raises(kind):
        save(model, tmp_path / "packed")
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == there


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    model = build("llama")
    with pytest.raises(InputError, match="int3"):
        save(model, tmp_path / "x", values="int3")
    with pytest.raises(InputError, match="group_size=48"):
        save(model, tmp_path / "x", values="int4", group_size=48)
    with pytest.raises(InputError, match="bf16"):
        save(model, tmp_path / "x", group_size=64)
    with pytest.raises(InputError, match="max_shard_bytes"):
        save(model, tmp_path / "x", max_shard_bytes=0)
    with pytest.raises(ModelError):
        save(nn.Linear(3, 3), tmp_path / "x")
    target = models.find_targets(model)[5]
    models.get_weight(model, target).view(-1)[7] = float("nan")
    with pytest.raises(InputError, match="nan"):
        save(model, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_dtypes_that_are_none(folder: Path) -> None:
    for dtype in ("int8", "fp32", torch.float64):
        with pytest.raises(InputError, match="dtype"):
            load(folder, dtype=dtype)
