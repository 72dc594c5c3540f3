"""Embedding and head in int8: the same rows in the file, in the model and in the decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from sparse_cases import build, parts_error, relative_error
from torch import nn

import neurosparse as ns
from neurosparse.errors import FormatError, InputError, ModelError
from neurosparse.measure import decode_bytes, dense_twin
from neurosparse.sparse import Decoder, load, save
from neurosparse.sparse.headers import read_headers
from neurosparse.sparse.matrix import quantised
from neurosparse.sparse.round_vocabulary import vocabulary_modules
from neurosparse.sparse.vocabulary import RoundedEmbedding, RoundedHead, rounded_linear

TIED = {"llama": False, "qwen2": True, "gpt2": True, "mixtral": False, "gemma3": True}


def made(family: str) -> Any:
    if family != "gemma3":
        return build(family)
    torch.manual_seed(0)
    config = tf.Gemma3TextConfig(
        vocab_size=101, hidden_size=48, intermediate_size=72, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=12, max_position_embeddings=128)
    model: Any = tf.Gemma3ForCausalLM(config).eval().requires_grad_(False)
    for target in ns.models.find_targets(model):
        weight = ns.models.get_weight(model, target)
        ns.models.set_weight(model, target, torch.where(torch.rand(weight.shape) < 0.4, weight, 0))
    return model


def rounded_here(model: Any) -> Any:
    """The dense model with the rows that int8 would give back."""
    embedding, head, tied = vocabulary_modules(model)
    for name in {embedding, embedding if tied else head}:
        weight = model.get_submodule(name).weight
        values, scales = quantised(weight)
        weight.copy_(values.float() * scales[:, None])
    return model


def logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=tokens).logits
    return found


@pytest.mark.parametrize("family", TIED)
def test_logits_are_those_of_rounded_rows(family: str, level: str, tokens: torch.Tensor,
                                          tmp_path: Path) -> None:
    model = made(family)
    save(model, tmp_path / "m", values="fp32", vocabulary="int8")
    packed = load(tmp_path / "m")
    assert isinstance(packed.get_input_embeddings(), RoundedEmbedding)
    expected = logits(rounded_here(model), tokens)
    # Twenty-four tokens write rows out; few go through the product in tile order.
    assert relative_error(logits(packed, tokens), expected) < 1e-5
    few = logits(packed, tokens[:1, :4])
    assert relative_error(few, logits(model, tokens[:1, :4])) < parts_error("int8")


@pytest.mark.parametrize("family", TIED)
def test_the_file_holds_every_row_once(family: str, tmp_path: Path) -> None:
    model = made(family)
    save(model, tmp_path / "m", vocabulary="int8")
    entries = read_headers((tmp_path / "m").glob("*.safetensors"))
    rounded = {name for name, entry in entries.items() if entry.dtype == torch.int8}
    assert len(rounded) == (1 if TIED[family] else 2)
    for name in rounded:
        scales = entries[name.replace(".weight", ".scales")]
        assert scales.dtype == torch.float32 and scales.shape == (101,)
    told = json.loads((tmp_path / "m/config.json").read_text())["quantization_config"]
    assert told["vocabulary"] == "int8"


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_transformers_reads_writes_and_reads_again(family: str, tokens: torch.Tensor,
                                                   tmp_path: Path) -> None:
    save(made(family), tmp_path / "m", vocabulary="int8")
    ns.register()
    once: Any = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    once.save_pretrained(tmp_path / "again")
    twice: Any = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    assert torch.equal(logits(once, tokens), logits(twice, tokens))
    save(once, tmp_path / "third")
    assert torch.equal(logits(load(tmp_path / "third", dtype="auto"), tokens),
                       logits(once, tokens))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_integers_bring_it_by_themselves_and_dense_takes_it_away(
        family: str, tokens: torch.Tensor, tmp_path: Path) -> None:
    save(made(family), tmp_path / "m", values="int8")
    packed = load(tmp_path / "m")
    assert isinstance(packed.get_output_embeddings(), RoundedHead)
    save(packed, tmp_path / "d", values="int8", vocabulary="dense")
    dense = load(tmp_path / "d")
    assert type(dense.get_input_embeddings()) is nn.Embedding
    # The dense rows are bfloat16 now.
    assert relative_error(logits(dense, tokens), logits(packed, tokens)) < 0.02
    save(made(family), tmp_path / "b", values="bf16")
    assert type(load(tmp_path / "b").get_input_embeddings()) is nn.Embedding


def test_casting_leaves_the_rows_and_changes_what_comes_out(tokens: torch.Tensor,
                                                           tmp_path: Path) -> None:
    save(made("qwen2"), tmp_path / "m", values="int8")
    packed = load(tmp_path / "m")
    before = packed.get_input_embeddings().scales.clone()
    packed.to(torch.bfloat16)
    words, head = packed.get_input_embeddings(), packed.get_output_embeddings()
    assert words.weight.dtype == torch.int8 and torch.equal(words.scales, before)
    assert words(tokens).dtype == torch.bfloat16 and head.scales.dtype == torch.float32
    assert logits(packed, tokens).dtype == torch.bfloat16


def test_gradient_to_the_input_is_that_of_the_rows(tmp_path: Path) -> None:
    save(made("llama"), tmp_path / "m", values="int8")
    head = load(tmp_path / "m").get_output_embeddings()
    x = torch.randn(3, head.in_features, requires_grad=True)
    up = torch.randn(3, head.out_features)
    (head(x) * up).sum().backward()
    assert x.grad is not None
    assert relative_error(x.grad, up @ head.to_dense()) < 1e-5


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_torch_compile_sees_one_operator(rows: int, tmp_path: Path) -> None:
    save(made("llama"), tmp_path / "m", values="int8")
    head = load(tmp_path / "m").get_output_embeddings()
    compiled = torch.compile(head, fullgraph=True, backend="aot_eager")
    x = torch.randn(rows, head.in_features)
    with torch.inference_mode():
        assert torch.equal(compiled(x), head(x))
        assert relative_error(head(x), x @ head.to_dense().T) < 1e-4
    x.requires_grad_()
    compiled(x).square().sum().backward()
    found, x.grad = x.grad, None
    head(x).square().sum().backward()
    assert found is not None and x.grad is not None and relative_error(found, x.grad) < 1e-6


def test_operators_of_the_head_are_what_torch_expects() -> None:
    weight = torch.randint(-127, 128, (70, 24), dtype=torch.int8)
    for rows in (2, 20):
        x = torch.randn(rows, 24, requires_grad=True)
        torch.library.opcheck(rounded_linear, (x, weight, torch.rand(70)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_compiled_decoder_reads_them(dtype: str, tokens: torch.Tensor, tmp_path: Path) -> None:
    save(made("qwen2"), tmp_path / "m", values="int8")
    packed = load(tmp_path / "m", dtype=dtype)
    decoder = Decoder(packed, positions=32)  # compares its logits with the model's own
    decoder.prefill(tokens[0, :8])
    found = decoder.step(int(tokens[0, 8]))
    bound = 0.002 if dtype == "float32" else 0.05
    assert relative_error(found, logits(packed, tokens[:1, :9])[0, -1].float()) < bound
    assert decoder.head_bytes < 101 * 48 * 2


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_dense_twin_has_floats(family: str, tokens: torch.Tensor, tmp_path: Path) -> None:
    save(made(family), tmp_path / "m", values="int8")
    packed = load(tmp_path / "m")
    twin: Any = dense_twin(packed)
    assert twin.get_input_embeddings().weight.dtype == torch.float32
    assert relative_error(logits(twin, tokens), logits(packed, tokens)) < 1e-4
    tied = twin.get_output_embeddings().weight is twin.get_input_embeddings().weight
    assert tied == TIED[family]
    assert decode_bytes(packed)["head"] == 101 * 48 + 101 * 4


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = made("llama")
    with pytest.raises(InputError, match="vocabulary"):
        save(model, tmp_path / "x", vocabulary="int3")
    save(model, tmp_path / "m", vocabulary="int8")
    file = tmp_path / "m/model.safetensors"
    config = json.loads((tmp_path / "m/config.json").read_text())
    del config["quantization_config"]["sha256"]
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    tensors = load_file(file)
    name = next(key for key in tensors if key.endswith("embed_tokens.scales"))
    for wrong in ({k: v for k, v in tensors.items() if k != name},
                  {**tensors, name: tensors[name][:-1].clone()},
                  {**tensors, name.replace("scales", "weight"): torch.zeros(101, 48)}):
        save_file(wrong, file, metadata={"format": "pt"})
        with pytest.raises(FormatError, match="embed_tokens"):
            load(tmp_path / "m")
    save_file(tensors, file, metadata={"format": "pt"})
    config["quantization_config"]["vocabulary"] = "int2"
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match="vocabulary"):
        load(tmp_path / "m")


def test_an_embedding_that_does_more_is_left_alone(tmp_path: Path) -> None:
    class Other(nn.Embedding):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return super().forward(ids) + 1

    model = made("llama")
    old = model.get_input_embeddings()
    other = Other(101, 48)
    other.weight = old.weight
    model.set_input_embeddings(other)
    with pytest.raises(ModelError, match="Other"):
        save(model, tmp_path / "x", vocabulary="int8")
    save(model, tmp_path / "y", values="int8")
    told = json.loads((tmp_path / "y/config.json").read_text())["quantization_config"]
    assert "vocabulary" not in told
