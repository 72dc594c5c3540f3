"""``sparse.load`` reads files by itself: it must make what ``from_pretrained`` makes of them."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from sparse_cases import build
from torch import nn
from transformers import PreTrainedModel, core_model_loading

from neurosparse.errors import FormatError
from neurosparse.sparse import load, loading, ordering, reading, register, save
from neurosparse.sparse.headers import read_headers
from neurosparse.sparse.reading import PackedFiles, can_read, files_handed
from neurosparse.sparse.rows import PackedRows
from neurosparse.tiles import Tiles


def tensors(model: nn.Module) -> dict[str, Any]:
    """All parameters and buffers, those that no file holds among them."""
    return {**dict(model.named_buffers(remove_duplicate=False)),
            **dict(model.named_parameters(remove_duplicate=False))}


@pytest.mark.parametrize("family", ["llama", "qwen2", "opt", "falcon", "gpt_neox", "gpt2",
                                    "mixtral", "qwen3_moe", "gpt_oss", "llava"])
@pytest.mark.parametrize(("values", "dtype"), [("int8", "bfloat16"), ("fp32", "float16"),
                                               ("int4", "auto")])
def test_load_makes_what_from_pretrained_makes(family: str, values: str, dtype: str,
                                               tmp_path: Path) -> None:
    save(build(family), tmp_path / "packed", values=values)
    register()
    found = load(tmp_path / "packed", dtype=dtype)
    wanted = type(found).from_pretrained(tmp_path / "packed", dtype=dtype)
    left, right = tensors(found), tensors(wanted)
    assert list(left) == list(right)
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype and torch.equal(tensor, right[name]), name
    assert found.config.to_dict() == wanted.config.to_dict()
    if found.can_generate():
        assert found.generation_config.to_dict() == wanted.generation_config.to_dict()
    same = {"training", "is_quantized", "quantization_method", "name_or_path", "_use_kernels"}
    assert vars(found).keys() == vars(wanted).keys() >= same
    assert all(vars(found)[name] == vars(wanted)[name] for name in same)
    assert [type(m) for m in found.modules()] == [type(m) for m in wanted.modules()]
    assert [vars(m).keys() for m in found.modules()] == [vars(m).keys() for m in wanted.modules()]


def test_other_steps_of_transformers_are_left_to_it(tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """As in 5.6, whose function wants one argument more, and 5.0, which lacks a step."""
    save(build("llama"), tmp_path / "packed", values="int8")
    wanted = tensors(load(tmp_path / "packed"))
    known = core_model_loading.convert_and_load_state_dict_in_model

    def older(model: Any, state_dict: Any, load_config: Any, tp_plan: Any) -> Any:
        raise AssertionError("not to be called so")

    with monkeypatch.context() as patch:
        patch.setattr(core_model_loading, "convert_and_load_state_dict_in_model", older)
        assert not can_read(PreTrainedModel)
    assert core_model_loading.convert_and_load_state_dict_in_model is known
    assert can_read(PreTrainedModel)
    monkeypatch.delattr(PreTrainedModel, "_get_dtype_plan")
    assert not can_read(PreTrainedModel)
    monkeypatch.undo()
    monkeypatch.setattr(loading, "can_read", lambda _: False)
    monkeypatch.setattr(loading, "read_model", lambda *_: pytest.fail("its own way"))
    found = tensors(load(tmp_path / "packed"))
    assert list(found) == list(wanted)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())


def test_matrices_lie_in_the_mapped_file_and_writing_leaves_it_alone(tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    save(build("llama"), folder, values="fp32")
    before = (folder / "model.safetensors").read_bytes()
    model = load(folder)
    module = next(m for m in model.modules() if isinstance(m, PackedRows))
    addresses = Path("/proc/self/maps")
    if addresses.exists():
        lines = [line.split() for line in addresses.read_text().splitlines() if str(folder) in line]
        spans = [tuple(int(end, 16) for end in line[0].split("-")) for line in lines]
        assert any(low <= module.values.data_ptr() < high for low, high in spans)
    module.values.zero_()
    assert (folder / "model.safetensors").read_bytes() == before


def test_nothing_is_left_handed_and_the_collector_runs_again(tmp_path: Path) -> None:
    save(build("llama"), tmp_path / "packed")
    assert gc.isenabled()
    load(tmp_path / "packed")
    assert gc.isenabled() and files_handed() is None
    (tmp_path / "packed" / "model.safetensors").write_bytes(b"")
    gc.disable()
    try:
        with pytest.raises(FormatError):
            load(tmp_path / "packed")
        assert not gc.isenabled() and files_handed() is None
    finally:
        gc.enable()


def test_a_changed_file_is_what_is_wrong_whatever_followed(tmp_path: Path) -> None:
    """The hash is computed beside the rest; that the rest fails first must not hide it."""
    folder = tmp_path / "packed"
    save(build("llama"), folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FormatError, match="SHA-256"):
        load(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match="cut"):
        load(folder)


def test_tensors_of_a_file(tmp_path: Path) -> None:
    save(build("llama"), tmp_path / "packed")
    file = tmp_path / "packed" / "model.safetensors"
    with PackedFiles([file], None) as files:
        files.read()
        others = files.others()
        assert "model.embed_tokens.weight" in others
        assert not any(name.endswith((".bitmap", ".values", ".scales")) for name in others)
        raw = file.read_bytes()
        for name, entry in read_headers([file]).items():
            tensor = files.tensor(name)
            assert tensor.dtype == entry.dtype and tuple(tensor.shape) == entry.shape
            data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
            assert raw[entry.begin : entry.begin + len(data)] == data


def flip(file: Path, name: str) -> None:
    """Another value, in a file that stays well-formed."""
    at = read_headers([file])[name].begin
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize("part", ["model.layers.0.mlp.up_proj.values", "model.norm.weight"])
@pytest.mark.parametrize("piece", [reading._PIECE, 4096])
def test_one_changed_bit_is_refused_before_the_model_is_handed_out(
        part: str, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PIECE", piece)
    save(build("llama"), tmp_path / "packed", values="int8")
    load(tmp_path / "packed")
    flip(tmp_path / "packed" / "model.safetensors", part)
    with pytest.raises(FormatError, match="SHA-256"):
        load(tmp_path / "packed")
    with pytest.raises(FormatError, match="SHA-256"):  # whatever the caller does meanwhile
        load(tmp_path / "packed", meanwhile=lambda: 1 / 0)


def test_a_slow_hash_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(build("llama"), tmp_path / "packed", values="int8")
    flip(tmp_path / "packed" / "model.safetensors", "model.norm.weight")
    known, ready = PackedFiles._digest, Event()

    def slow(self: PackedFiles, file: Path) -> str:
        assert ready.wait(60)
        return known(self, file)

    monkeypatch.setattr(PackedFiles, "_digest", slow)
    with pytest.raises(FormatError, match="SHA-256"):
        load(tmp_path / "packed", meanwhile=ready.set)


@pytest.mark.parametrize("values", ["bf16", "int8", "int4"])
def test_everything_is_in_order_when_a_model_is_handed_out(
        values: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(build("llama"), tmp_path / "packed", values=values)
    monkeypatch.setattr(ordering, "_BATCH", 1 << 12)
    called: list[int] = []
    model = load(tmp_path / "packed", dtype="bfloat16", meanwhile=lambda: called.append(1))
    assert called == [1] and not hasattr(model.hf_quantizer, "_ordering")
    tokens = torch.arange(12)[None]
    monkeypatch.setattr(Tiles, "from_rows", lambda *_: pytest.fail("late"))
    monkeypatch.setattr(Tiles, "from_dense", lambda *_: pytest.fail("late"))
    found = model(tokens, logits_to_keep=1).logits
    monkeypatch.undo()
    wanted = type(model).from_pretrained(tmp_path / "packed", dtype="bfloat16")
    assert torch.equal(found, wanted(tokens, logits_to_keep=1).logits)


def test_work_beside_is_done_where_transformers_reads(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    save(build("llama"), tmp_path / "packed")
    monkeypatch.setattr(loading, "can_read", lambda _: False)
    called: list[int] = []
    load(tmp_path / "packed", meanwhile=lambda: called.append(1))
    assert called == [1]
