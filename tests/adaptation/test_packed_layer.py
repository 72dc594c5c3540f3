"""Masked LoRA on packed weights: the values change in place, a dense weight is never made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from losa_cases import randomise, sparse_gpt2, sparse_model, tiny_windows
from peft import get_peft_model

import neurosparse as ns
from neurosparse.adaptation import load_adapter, lora_config
from neurosparse.errors import InputError
from neurosparse.sparse import SparseLinear

X = tiny_windows(2, 16)


def _packed(folder: Path, values: str = "fp32") -> torch.nn.Module:
    ns.sparse.save(sparse_model(), folder / values, values=values)
    return ns.sparse.load(folder / values, dtype="float32")


def test_like_the_dense_model(tmp_path: Path) -> None:
    dense = sparse_model()
    one = get_peft_model(dense, lora_config(dense, 4))
    packed = _packed(tmp_path)
    two = get_peft_model(packed, lora_config(packed, 4))
    randomise(one)
    randomise(two)
    torch.testing.assert_close(two(X).logits, one(X).logits, rtol=1e-4, atol=1e-5)
    for model in (one, two):
        model(input_ids=X, labels=X).loss.backward()
    pairs = zip((p for p in one.parameters() if p.requires_grad),
                (p for p in two.parameters() if p.requires_grad), strict=True)
    for left, right in pairs:
        torch.testing.assert_close(right.grad, left.grad, rtol=1e-3, atol=1e-5)


def test_merge_stays_packed_and_saves(tmp_path: Path) -> None:
    packed = _packed(tmp_path)
    model = get_peft_model(packed, lora_config(packed, 4))
    randomise(model)
    out = model(X).logits
    merged = model.merge_and_unload()
    layers = [one for one in merged.modules() if isinstance(one, SparseLinear)]
    assert len(layers) == 21
    torch.testing.assert_close(merged(X).logits, out, rtol=1e-4, atol=1e-5)
    ns.sparse.save(merged, tmp_path / "again", values="fp32")
    again = ns.sparse.load(tmp_path / "again", dtype="float32")
    torch.testing.assert_close(again(X).logits, out, rtol=1e-4, atol=1e-5)


def test_unmerging_is_exact_and_adapters_reload(tmp_path: Path) -> None:
    packed = _packed(tmp_path)
    model = get_peft_model(packed, lora_config(packed, 4))
    randomise(model)
    out = model(X).logits
    model.merge_adapter()
    torch.testing.assert_close(model(X).logits, out, rtol=1e-4, atol=1e-5)
    model.unmerge_adapter()
    assert torch.equal(model(X).logits, out)
    model.save_pretrained(tmp_path / "adapter")
    assert torch.equal(load_adapter(_packed(tmp_path / "b"), tmp_path / "adapter")(X).logits, out)


@pytest.mark.parametrize("values", ["int8", "int4"])
def test_whole_numbers_are_refused(values: str, tmp_path: Path) -> None:
    packed = _packed(tmp_path, values)
    with pytest.raises(InputError, match=values):
        get_peft_model(packed, lora_config(packed, 4))


def test_packed_conv1d_is_like_the_dense_one(tmp_path: Path) -> None:
    """GPT-2: dense its weights lie as (in, out), packed as (out, in)."""
    dense = sparse_gpt2()
    ns.sparse.save(dense, tmp_path / "gpt2", values="fp32")
    packed = ns.sparse.load(tmp_path / "gpt2")
    one, two = (get_peft_model(model, lora_config(model, 4)) for model in (dense, packed))
    randomise(one)
    randomise(two)
    torch.testing.assert_close(two(X).logits, one(X).logits, rtol=1e-4, atol=1e-5)
    merged = two.merge_and_unload()
    torch.testing.assert_close(merged(X).logits, one(X).logits, rtol=1e-4, atol=1e-5)


def test_a_pattern_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    packed = _packed(tmp_path)
    assert len(lora_config(packed, 4, exclude=["*.down_proj"]).target_modules) == 18
    with pytest.raises(InputError, match="downproj"):
        lora_config(packed, 4, exclude=["*.downproj"])
