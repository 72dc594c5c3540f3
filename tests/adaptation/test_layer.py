"""Masked LoRA through the installed PEFT: get_peft_model, save, load, merge, Trainer."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from losa_cases import randomise, sparse_gpt2, sparse_model, tiny_windows, zeros
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Trainer, TrainingArguments

from neurosparse.adaptation import MaskedLoraConfig, adapters_of, load_adapter, lora_config
from neurosparse.errors import InputError, ModelError

X = tiny_windows(2, 16)


def _adapted(**options: object) -> tuple[PeftModel, torch.nn.Module]:
    base = sparse_model()
    before = copy.deepcopy(base)
    model = get_peft_model(base, lora_config(base, 4, **options))  # type: ignore[arg-type]
    randomise(model)
    return model, before


def test_new_adapters_change_nothing() -> None:
    base = sparse_model()
    before = base(X).logits
    model = get_peft_model(base, lora_config(base, 4))
    assert torch.equal(model(X).logits, before)


def test_merging_loses_no_zero_and_changes_no_output() -> None:
    model, before = _adapted()
    gone, out = zeros(before), model(X).logits
    merged = model.merge_and_unload()
    for name, was in gone.items():
        now = zeros(merged)[name]
        assert torch.equal(now, was), name
    error = (merged(X).logits - out).abs().max() / out.abs().max()
    assert float(error) < 1e-5


def test_plain_lora_fills_the_zeros() -> None:
    """The peer: what our merge is for."""
    base = sparse_model()
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "up_proj"]))
    randomise(model)
    merged = model.merge_and_unload()
    assert not zeros(merged)["model.layers.0.self_attn.q_proj"].any()


def test_unmerging_is_exact() -> None:
    model, before = _adapted()
    out = model(X).logits
    model.merge_adapter()
    model.unmerge_adapter()
    assert torch.equal(model(X).logits, out)
    for name, layer in adapters_of(model).items():
        plain = name.removeprefix("base_model.model.")
        assert torch.equal(layer.get_base_layer().weight, before.get_submodule(plain).weight)


def test_disabled_adapters_are_the_base() -> None:
    model, before = _adapted()
    with model.disable_adapter():
        assert torch.equal(model(X).logits, before(X).logits)


def test_full_mask_is_plain_lora() -> None:
    """Papers.md section 3 (f) 4."""
    base = sparse_model(rate=0.0)
    plain = get_peft_model(copy.deepcopy(base), LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    ours = get_peft_model(base, MaskedLoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    randomise(plain)
    randomise(ours)
    torch.testing.assert_close(ours(X).logits, plain(X).logits, rtol=1e-4, atol=1e-5)


def test_saved_and_loaded(tmp_path: Path) -> None:
    model, before = _adapted(ranks={"model.layers.1.mlp.up_proj": 2})
    model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").is_file()
    found = load_adapter(before, tmp_path)
    layers = adapters_of(found)
    assert layers["base_model.model.model.layers.1.mlp.up_proj"].r["default"] == 2
    assert layers["base_model.model.model.layers.0.mlp.up_proj"].r["default"] == 4
    assert torch.equal(found(X).logits, model(X).logits)


def test_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    model, _ = _adapted()
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="another base model"):
        load_adapter(sparse_model(rate=0.2), tmp_path)


def test_two_adapters_add_and_merge() -> None:
    model, before = _adapted()
    model.add_adapter("other", lora_config(before, 2))
    randomise(model)
    model.base_model.set_adapter(["default", "other"])
    out = model(X).logits
    model.merge_adapter(["default", "other"])
    torch.testing.assert_close(model(X).logits, out, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_alone() -> None:
    model, _ = _adapted(dropout=0.5)
    model.train()
    torch.manual_seed(0)
    one, two = model(X).logits, model(X).logits
    assert not torch.equal(one, two)
    model.eval()
    assert torch.equal(model(X).logits, model(X).logits)


@pytest.mark.parametrize("mixed", [False, True])
def test_conv1d_of_gpt2(mixed: bool) -> None:
    """Nobody says that its weights lie as (in, out), and linears may stand beside them."""
    base = sparse_gpt2()
    if mixed:
        for block in base.transformer.h:
            conv = block.mlp.c_fc
            block.mlp.c_fc = torch.nn.Linear(*conv.weight.shape)
            block.mlp.c_fc.weight.data = conv.weight.data.T.contiguous()
    gone, before = zeros(base), copy.deepcopy(base)
    model = get_peft_model(base, lora_config(base, 4))
    randomise(model)
    out = model(X).logits
    assert not torch.allclose(out, before(X).logits, atol=1e-3)
    model.merge_adapter()
    torch.testing.assert_close(model(X).logits, out, rtol=1e-4, atol=1e-5)
    model.unmerge_adapter()
    merged = model.merge_and_unload(safe_merge=True)
    torch.testing.assert_close(merged(X).logits, out, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(zeros(merged)[name], was) for name, was in gone.items())


def test_the_update_of_a_conv1d_is_in_its_layout() -> None:
    base = sparse_gpt2()
    model = get_peft_model(base, lora_config(base, 4))
    randomise(model)
    for layer in adapters_of(model).values():
        a, b = layer.factors("default")
        update = layer.get_delta_weight("default")
        torch.testing.assert_close(update, (2.0 * (b @ a) * layer.mask()).T)
        assert update.shape == layer.get_base_layer().weight.shape


def test_an_adapter_of_gpt2_is_saved_and_loaded(tmp_path: Path) -> None:
    base = sparse_gpt2()
    before = copy.deepcopy(base)
    model = get_peft_model(base, lora_config(base, 4))
    randomise(model)
    model.save_pretrained(tmp_path)
    assert torch.equal(load_adapter(before, tmp_path)(X).logits, model(X).logits)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_trainer_of_transformers(tmp_path: Path, checkpointing: bool) -> None:
    base = sparse_model()
    gone = zeros(base)
    model = get_peft_model(base, lora_config(base, 4))
    data = [{"input_ids": row, "labels": row} for row in tiny_windows(16, 16)]
    trainer = Trainer(model, TrainingArguments(
        str(tmp_path), max_steps=6, per_device_train_batch_size=4, learning_rate=2e-2, seed=0,
        gradient_checkpointing=checkpointing, report_to=[], use_cpu=True, save_strategy="no",
        gradient_checkpointing_kwargs={"use_reentrant": False}, logging_steps=1,
        disable_tqdm=True), train_dataset=data)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < losses[0]
    merged = trainer.model.merge_and_unload()
    assert all(torch.equal(zeros(merged)[name], was) for name, was in gone.items())


def test_bfloat16_weights_have_float32_masters() -> None:
    base = sparse_model().to(torch.bfloat16)
    model = get_peft_model(base, lora_config(base, 4))
    randomise(model)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    out = model(X).logits
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(model.merge_and_unload()(X).logits, out)


def test_a_rank_larger_than_the_matrix_is_refused() -> None:
    base = sparse_model()
    with pytest.raises(InputError, match="rank 40"):
        get_peft_model(base, lora_config(base, 40))


def test_a_mask_of_another_shape_is_refused() -> None:
    model, _ = _adapted()
    layer = next(iter(adapters_of(model).values()))
    with pytest.raises(InputError, match="a mask of shape"):
        layer.set_mask(torch.ones(3, 3, dtype=torch.bool))


def test_a_rank_for_what_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="nobody"):
        lora_config(sparse_model(), ranks={"nobody": 3})
