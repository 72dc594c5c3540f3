"""What transformers does with a packed model after ``register()``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sparse_cases import build
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from neurosparse.sparse import SparseLinear, load, register, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(build("qwen2"), tmp_path / "packed", values="bf16")
    register()
    return tmp_path / "packed"


def read(folder: Path, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, **options)


def test_registering_twice_is_fine() -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    register()
    before = AUTO_QUANTIZER_MAPPING["neurosparse"]
    register()
    assert AUTO_QUANTIZER_MAPPING["neurosparse"] is before


@pytest.mark.parametrize("family", ["llama", "qwen2", "mixtral", "qwen3_moe", "gpt2", "gpt_oss"])
@pytest.mark.parametrize("values", ["bf16", "int8"])
def test_no_key_is_missing_or_unexpected(family: str, values: str, tokens: torch.Tensor,
                                         tmp_path: Path) -> None:
    save(build(family), tmp_path / "packed", values=values)
    register()
    model, info = read(tmp_path / "packed", dtype="float32", output_loading_info=True)
    assert not any(info.values()), info
    with torch.inference_mode():
        assert torch.equal(model(tokens).logits, load(tmp_path / "packed")(tokens).logits)


@pytest.mark.parametrize("family", ["qwen2", "mixtral", "gpt_oss"])
@pytest.mark.parametrize("values", ["bf16", "int8"])
def test_save_pretrained_writes_the_same_tensors(family: str, values: str, tokens: torch.Tensor,
                                                 tmp_path: Path) -> None:
    save(build(family), tmp_path / "a", values=values)
    register()
    first = read(tmp_path / "a", dtype="auto")
    first.save_pretrained(tmp_path / "b")
    left, right = (load_file(tmp_path / side / "model.safetensors") for side in "ab")
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype
        assert torch.equal(tensor.view(torch.uint8), right[name].view(torch.uint8)), name
    for again in (read(tmp_path / "b", dtype="auto"), load(tmp_path / "b", dtype="auto")):
        with torch.inference_mode():
            assert torch.equal(again(tokens).logits, first(tokens).logits)
    assert "sha256" not in AutoConfig.from_pretrained(tmp_path / "b").quantization_config
    first.save_pretrained(tmp_path / "c", max_shard_size="30KB")
    assert len(list((tmp_path / "c").glob("*.safetensors"))) > 1
    with torch.inference_mode():
        assert torch.equal(load(tmp_path / "c", dtype="auto")(tokens).logits,
                           first(tokens).logits)


def test_generates_as_the_dense_model_does(tokens: torch.Tensor, tmp_path: Path) -> None:
    dense = build("llama", dtype=torch.bfloat16)
    save(dense, tmp_path / "packed")
    packed = load(tmp_path / "packed")
    options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    for cache in (True, False):
        found = packed.generate(tokens[:1], use_cache=cache, **options)
        assert torch.equal(found, dense.generate(tokens[:1], use_cache=cache, **options))


def test_casts_change_all_but_the_packed(folder: Path, tokens: torch.Tensor) -> None:
    model = read(folder, dtype="float32")
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "_proj" in name}
    model.to(torch.bfloat16)
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert model.model.layers[0].self_attn.q_proj.bias.dtype == torch.bfloat16
    for name, buffer in model.named_buffers():
        if name in before:
            assert buffer.dtype == before[name].dtype and torch.equal(buffer, before[name])
    with torch.inference_mode():
        assert model(tokens).logits.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="half"):
        model.half()  # transformers refuses it for every quantized model


def test_the_state_dict_goes_round(folder: Path, tokens: torch.Tensor) -> None:
    first, second = read(folder, dtype="float32"), read(folder, dtype="float32")
    for module in second.modules():
        if isinstance(module, SparseLinear):
            module.values.zero_()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    with torch.inference_mode():
        assert torch.equal(first(tokens).logits, second(tokens).logits)


def test_the_base_model_loads_without_its_head(folder: Path, tokens: torch.Tensor) -> None:
    register()
    base = AutoModel.from_pretrained(folder, dtype="float32")
    with torch.inference_mode():
        wanted = read(folder, dtype="float32").model(tokens).last_hidden_state
        assert torch.equal(base(tokens).last_hidden_state, wanted)


def test_device_maps_and_devices(folder: Path, tokens: torch.Tensor) -> None:
    with torch.inference_mode():
        wanted = read(folder, dtype="float32")(tokens).logits
        assert torch.equal(read(folder, dtype="float32", device_map="cpu")(tokens).logits, wanted)
        auto = read(folder, dtype="float32", device_map="auto")
        assert torch.equal(auto(tokens).logits.cpu(), wanted) or auto.device.type != "cpu"
    away = load(folder).to("meta")
    assert all(tensor.is_meta for tensor in away.state_dict().values())
    if torch.cuda.is_available():
        there = load(folder, device="cuda")
        with torch.inference_mode():
            torch.testing.assert_close(there(tokens.cuda()).logits.cpu(), wanted,
                                       rtol=1e-4, atol=1e-4)
            moved = load(folder).to("cuda").to("cpu")
            assert torch.equal(moved(tokens).logits, wanted)


@pytest.mark.slow  # `test_compiles_as_one_graph` is the quick one
def test_compiles_whole(folder: Path, tokens: torch.Tensor) -> None:
    torch.compiler.reset()
    model = load(folder)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(tokens, use_cache=False).logits,
                                   model(tokens, use_cache=False).logits, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_embeddings(folder: Path, tokens: torch.Tensor) -> None:
    model = load(folder)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model.requires_grad_(True)
    model(tokens, labels=tokens).loss.backward()
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0
    assert model.model.layers[0].self_attn.q_proj.bias.grad.abs().sum() > 0


def test_a_dense_model_is_not_quantized_on_the_way(tmp_path: Path) -> None:
    from neurosparse.sparse.quantizer import NeurosparseConfig

    build("llama").save_pretrained(tmp_path / "dense")
    register()
    config = NeurosparseConfig(format="bitmap", version=1, values="bf16", order="rows",
                               packed="all")
    with pytest.raises(ValueError, match="pre-quantized"):
        read(tmp_path / "dense", quantization_config=config)
