"""Save and load: the same model comes back, whatever the family and the kind of values."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from sparse_cases import CONFIGS, build, parts_error, relative_error
from torch import nn
from transformers import AutoModelForCausalLM

from neurosparse import models
from neurosparse.budgets import Budget
from neurosparse.errors import FormatError, InputError, ModelError
from neurosparse.sparse import (
    CheckpointWriter,
    SparseExperts,
    SparseLinear,
    is_packed,
    load,
    pack,
    packed_bytes,
    register,
    save,
    unpack,
)
from neurosparse.sparse.headers import read_headers
from neurosparse.sparse.matrix import quantised

DENSE = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32,
         "int8": torch.bfloat16, "int4": torch.bfloat16}


def as_stored(model: nn.Module, values: str) -> nn.Module:
    """The dense model with every weight rounded as the file rounds it."""
    with torch.no_grad():
        whole = values in ("int8", "int4")
        if whole:
            for target in models.find_targets(model):
                weight = models.get_weight(model, target)
                models.set_weight(model, target, unpack(pack(weight, values=values)))
            for name in {id(m.weight): n for n, m in words_of(model).items()}.values():
                rows = model.get_submodule(name).weight
                integers, scales = quantised(rows)  # type: ignore[arg-type]
                rows.copy_(integers.float() * scales[:, None])
        names = {target.name for target in models.find_targets(model)} if whole else ()
        words = words_of(model) if whole else {}
        for name, parameter in model.named_parameters():
            owner = name.removesuffix(".weight")
            if owner not in names and f"{name}#0" not in names and owner not in words:
                parameter.copy_(parameter.to(DENSE[values]))
    return model


def words_of(model: Any) -> dict[str, Any]:
    """Embedding and head by name."""
    held = [model.get_input_embeddings(), model.get_output_embeddings()]
    return {name: module for name, module in model.named_modules() if module in held}


def logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=tokens).logits
    return found


@pytest.mark.parametrize("values", ["bf16", "fp32", "int8", "int4"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "opt", "mixtral"])
def test_logits_are_those_of_the_dense_model(family: str, values: str, level: str,
                                             tokens: torch.Tensor, tmp_path: Path) -> None:
    model = build(family)
    save(model, tmp_path / "packed", values=values)
    packed = load(tmp_path / "packed")
    assert packed.dtype == torch.float32 and not packed.training
    wanted = logits(as_stored(model, values), tokens)
    assert relative_error(logits(packed, tokens), wanted) < parts_error(values), level
    one = tokens[:1, :3]  # few rows take the other path
    assert relative_error(logits(packed, one), logits(model, one)) < parts_error(values), level


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_every_family_packs_all_of_its_targets(family: str, tokens: torch.Tensor, tmp_path: Path
                                               ) -> None:
    model = build(family)
    sizes = save(model, tmp_path / "packed", values="fp16")
    packed = load(tmp_path / "packed")
    found = [module for module in packed.modules() if isinstance(module, SparseLinear)]
    mixtures = [module for module in packed.modules() if isinstance(module, SparseExperts)]
    targets = models.find_targets(model)
    linears = [target for target in targets if target.expert is None]
    assert len(found) == len(linears)
    if family in ("mixtral", "qwen3_moe"):
        assert len(mixtures) == 2 and packed.config.quantization_config.packed == "all"
    elif family == "gpt_oss":  # its experts have biases and another order: they stay dense
        assert not mixtures and packed.config.quantization_config.packed != "all"
    wanted = logits(as_stored(model, "fp16"), tokens)
    assert relative_error(logits(packed, tokens), wanted) < 1e-5
    assert models.identity(packed)["sha256"] == models.identity(model)["sha256"]
    biases = sum(getattr(module, "bias", None) is not None for module in found)
    assert biases == sum(model.get_submodule(t.name).bias is not None for t in linears)
    assert sizes["packed"] < sizes["packed_dense"]


@pytest.mark.parametrize("values", ["bf16", "fp16", "fp32"])
def test_float_weights_come_back_bit_for_bit(values: str, tmp_path: Path) -> None:
    model = as_stored(build("qwen2"), values)
    save(model, tmp_path / "packed", values=values)
    packed = load(tmp_path / "packed")
    for target in models.find_targets(model):
        assert torch.equal(packed.get_submodule(target.name).to_dense(),
                           models.get_weight(model, target))
    mine = dict(packed.named_parameters())
    for name, parameter in model.named_parameters():
        if name in mine:
            assert torch.equal(mine[name], parameter), name
    assert packed.lm_head.weight is packed.model.embed_tokens.weight


def test_bytes_are_what_they_say(tmp_path: Path) -> None:
    model = build("llama")
    for values in DENSE:
        folder = tmp_path / values
        sizes = save(model, folder, values=values)
        targets = models.find_targets(model)
        counted = sum(packed_bytes(*t.shape, int(models.get_weight(model, t).count_nonzero()),
                                   values) for t in targets)
        assert sizes["packed"] == counted
        files = list(folder.glob("*.safetensors"))
        assert sizes["weights"] == sum(file.stat().st_size for file in files)
        entries = read_headers(files)
        inside = sum(entry.dtype.itemsize * torch.Size(entry.shape).numel()
                     for entry in entries.values())
        assert sizes["packed"] + sizes["dense"] == inside
        assert 0 < sizes["weights"] - inside < 16384
        assert sizes["folder"] == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        itemsize = DENSE[values].itemsize
        assert sizes["packed_dense"] == itemsize * sum(target.size for target in targets)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "auto"])
def test_dtype_is_that_of_everything_but_the_packed(dtype: str, tokens: torch.Tensor,
                                                    tmp_path: Path) -> None:
    save(build("qwen2"), tmp_path / "packed", values="bf16")
    packed = load(tmp_path / "packed", dtype=dtype)
    want = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
    assert {parameter.dtype for parameter in packed.parameters()} == {want}
    assert packed.model.layers[0].mlp.up_proj.values.dtype == torch.bfloat16
    found = logits(packed, tokens)
    assert found.dtype == want and bool(torch.isfinite(found).all())


def test_what_does_not_pay_stays_dense(tmp_path: Path) -> None:
    model = build("llama")
    dense = [target for target in models.find_targets(model) if target.role == "up_proj"]
    for target in dense:
        models.set_weight(model, target, torch.ones(target.shape))
    save(model, tmp_path / "packed")
    packed = load(tmp_path / "packed")
    assert type(packed.model.layers[0].mlp.up_proj) is nn.Linear
    names = packed.config.quantization_config.packed
    assert "model.layers.[0-1].mlp.down_proj" in names and len(names) == 6
    save(model, tmp_path / "int8", values="int8")  # a byte a weight pays without any zero
    assert load(tmp_path / "int8").config.quantization_config.packed == "all"


def test_targets_and_masks_choose(tmp_path: Path) -> None:
    model = build("mixtral")
    targets = models.find_targets(model, exclude=["*down_proj*", "*q_proj"])
    mask = torch.zeros(48, 48, dtype=torch.bool)
    mask[3, 5:9] = True
    name = "model.layers.1.self_attn.o_proj"
    save(model, tmp_path / "packed", targets=targets, masks={name: mask})
    packed = load(tmp_path / "packed")
    assert type(packed.model.layers[0].self_attn.q_proj) is nn.Linear
    assert not any(isinstance(module, SparseExperts) for module in packed.modules())
    assert packed.get_submodule(name).nnz == 4
    with pytest.raises(InputError, match="nowhere"):
        save(model, tmp_path / "other", masks={"nowhere": mask})
    with pytest.raises(InputError, match="mask"):
        save(model, tmp_path / "other", masks={name: mask[:2]})


def test_masks_of_experts_are_put_together(tmp_path: Path) -> None:
    model = build("mixtral")
    name = "model.layers.0.mlp.experts.gate_up_proj#2"
    mask = torch.zeros(144, 48, dtype=torch.bool)
    mask[0, 0] = True
    save(model, tmp_path / "packed", masks={name: mask}, values="fp32")
    part = load(tmp_path / "packed").model.layers[0].mlp.experts.gate_up_proj
    dense, mine = model.model.layers[0].mlp.experts.gate_up_proj, part.to_dense().view(4, 144, 48)
    assert torch.equal(mine[1], dense[1]) and torch.equal(mine[3], dense[3])
    assert torch.equal(mine[2], dense[2] * mask)


def test_shards_have_an_index(tokens: torch.Tensor, tmp_path: Path) -> None:
    model = build("llama")
    save(model, tmp_path / "one")
    save(model, tmp_path / "many", max_shard_bytes=10_000)
    shards = sorted((tmp_path / "many").glob("*.safetensors"))
    count = len(shards)
    assert count > 3 and shards[0].name == f"model-00001-of-{count:05d}.safetensors"
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    entries = read_headers(shards)
    assert index["weight_map"] == {name: entry.file.name for name, entry in entries.items()}
    assert not (tmp_path / "one" / "model.safetensors.index.json").exists()
    for file in shards:
        assert file.stat().st_size < 16_000
    assert torch.equal(logits(load(tmp_path / "one"), tokens),
                       logits(load(tmp_path / "many"), tokens))


def test_a_block_that_no_file_has_is_refused(tmp_path: Path) -> None:
    """Also where transformers reads, which would fill it with random numbers and a warning."""
    save(build("llama"), tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["quantization_config"]["packed"] == "all"
    config["num_hidden_layers"] += 1
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    register()
    with pytest.raises(FormatError, match="all linears"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "m")


def test_saving_a_packed_model_again_gives_the_same_file(tmp_path: Path) -> None:
    for family in ("mixtral", "gpt_oss"):
        save(build(family), tmp_path / "a", values="int8")
        packed = load(tmp_path / "a", dtype="auto")
        save(packed, tmp_path / "b", values="int8")
        for name in ("model.safetensors", "config.json"):
            first, second = ((tmp_path / side / name).read_bytes() for side in "ab")
            assert first == second, (family, name)
        with pytest.raises(InputError, match="int8"):
            save(packed, tmp_path / "c", values="bf16")


def test_a_model_whose_blocks_come_one_by_one(tokens: torch.Tensor, tmp_path: Path) -> None:
    whole, streamed = build("llama"), build("llama")
    stored = [dict(block.state_dict()) for block in streamed.model.layers]
    streamed.model.layers.to("meta")
    opened = []

    @contextmanager
    def open_block(index: int):  # type: ignore[no-untyped-def]
        block = streamed.model.layers[index]
        opened.append(index)
        assert all(parameter.is_meta for parameter in streamed.model.layers.parameters())
        block.load_state_dict(stored[index], assign=True)
        yield block
        block.to("meta")

    with pytest.raises(ModelError, match="meta"):
        save(streamed, tmp_path / "streamed")
    save(streamed, tmp_path / "streamed", open_block=open_block)
    save(whole, tmp_path / "whole")
    assert opened == [0, 1]
    for name in ("model.safetensors", "config.json"):
        first, second = ((tmp_path / side / name).read_bytes() for side in ("streamed", "whole"))
        assert first == second


def test_writer_takes_matrices_one_by_one(tokens: torch.Tensor, tmp_path: Path) -> None:
    model = as_stored(build("llama"), "bf16")
    targets = {f"{target.name}.weight": target for target in models.find_targets(model)}
    writer = CheckpointWriter(tmp_path / "packed", config=model.config, tokenizer=None,
                              values="bf16")
    for name, tensor in model.state_dict().items():
        if name in targets:
            writer.add_packed(targets[name].name, pack(tensor))
        else:
            writer.add(name, tensor)
    assert not (tmp_path / "packed").exists()
    with pytest.raises(InputError, match="twice"):
        writer.add("lm_head.weight", torch.ones(1))
    with pytest.raises(InputError, match="int8"):
        writer.add_packed("x", pack(torch.eye(3), values="int8"))
    writer.close()
    assert is_packed(tmp_path / "packed")
    found = logits(load(tmp_path / "packed"), tokens)
    assert relative_error(found, logits(model, tokens)) < parts_error("bf16")


def test_aborting_leaves_what_was_there(tmp_path: Path) -> None:
    model = build("llama")
    save(model, tmp_path / "packed")
    before = (tmp_path / "packed" / "config.json").read_bytes()
    writer = CheckpointWriter(tmp_path / "packed", config=model.config, tokenizer=None,
                              values="bf16")
    writer.add("x", torch.ones(3))
    writer.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert (tmp_path / "packed" / "config.json").read_bytes() == before


def test_tokenizer_budget_and_generation_settings_come_along(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    model = build("llama")
    model.generation_config.temperature = 0.3  # without sampling: transformers would refuse
    words = Tokenizer(WordLevel({"[UNK]": 0, "chaos": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    budget = Budget.model_validate({
        "rule": {"name": "uniform"}, "total": {"asked": 0.5, "kept": 0.5},
        "targets": [{"name": "a", "size": 4, "value": 0.5}]})
    save(model, tmp_path / "packed", tokenizer=tokenizer, budget=budget)
    assert AutoTokenizer.from_pretrained(tmp_path / "packed")("chaos")["input_ids"] == [1]
    assert Budget.read(tmp_path / "packed" / "budget.json") == budget
    assert load(tmp_path / "packed").generation_config.temperature == 0.3
    save(model, tmp_path / "packed", budget=tmp_path / "packed" / "budget.json")
    assert Budget.read(tmp_path / "packed" / "budget.json") == budget


def test_the_model_that_is_saved_does_not_change(tokens: torch.Tensor, tmp_path: Path) -> None:
    model = build("llama")
    before, config = logits(model, tokens), model.config.to_dict()
    save(model, tmp_path / "packed", values="int8")
    assert torch.equal(logits(model, tokens), before) and model.config.to_dict() == config
