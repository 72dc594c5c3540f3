"""Old sparse-bitmask checkpoints come back bit for bit, packed; broken ones are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import old_bitmask
import pytest
import torch
from safetensors.torch import load_file, save_file
from sparse_cases import build, relative_error

from neurosparse import models
from neurosparse.errors import FormatError, InputError, ModelError, NeurosparseError
from neurosparse.pipeline.opening import open_model
from neurosparse.sparse import convert_bitmask, is_bitmask, is_packed, load

UP = "model.layers.0.mlp.up_proj"


@pytest.mark.parametrize(("family", "everything", "dtype"), [
    ("llama", False, torch.bfloat16), ("llama", True, torch.float32),
    ("qwen2", True, torch.float16), ("gpt2", False, torch.float32), ("opt", True, torch.bfloat16),
])
def test_a_checkpoint_comes_back(family: str, everything: bool, dtype: torch.dtype, tmp_path: Path,
                                 tokens: torch.Tensor) -> None:
    model: Any = build(family, dtype=dtype)
    stored: Any = build(family, dtype=dtype).to(dtype)
    folder = old_bitmask.write(stored, tmp_path / "old", everything=everything)
    assert is_bitmask(folder) and not is_packed(folder)
    found = load(folder)
    for target in models.find_targets(model):
        module = found.get_submodule(target.name)
        assert torch.equal(module.to_dense(), models.get_weight(model, target))
    with torch.no_grad():
        assert relative_error(found(tokens).logits, model(tokens).logits) < 1e-3
    assert found.config._name_or_path == str(folder)


@pytest.mark.parametrize("place", ["compression_config", ""])
def test_where_the_configuration_has_lain(place: str, tmp_path: Path) -> None:
    folder = old_bitmask.write(build("llama"), tmp_path / "old", place=place)
    assert is_bitmask(folder)
    sizes = convert_bitmask(folder, tmp_path / "new")
    assert is_packed(tmp_path / "new") and sizes["packed"] > 0
    assert json.loads((tmp_path / "new/config.json").read_text())["quantization_config"][
        "packed"] == "all"
    assert open_model(str(folder)).description == "packed fp32"
    with pytest.raises(ModelError, match=r"sparse\.load"):
        models.load(folder)


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("edit", [
    lambda t: t.pop(f"{UP}.row_offsets"), lambda t: t.pop(f"{UP}.compressed"),
    lambda t: t.update({f"{UP}.compressed": t[f"{UP}.compressed"][:-1].clone()}),
    lambda t: t.update({f"{UP}.compressed": t[f"{UP}.compressed"].double()}),
    lambda t: t.update({f"{UP}.compressed": t[f"{UP}.compressed"].bfloat16()}),
    lambda t: t.update({f"{UP}.compressed": t[f"{UP}.compressed"][None].clone()}),
    lambda t: t.update({f"{UP}.shape": torch.tensor([72, 47])}),
    lambda t: t.update({f"{UP}.shape": torch.tensor([1 << 40, 1 << 40])}),
    lambda t: t.update({f"{UP}.shape": torch.tensor([-72, -48])}),
    lambda t: t.update({f"{UP}.shape": torch.tensor([72.0, 48.0])}),
    lambda t: t.update({f"{UP}.shape": torch.tensor(72)}),
    lambda t: t.update({f"{UP}.bitmask": t[f"{UP}.bitmask"][:, :-1].clone()}),
    lambda t: t.update({f"{UP}.bitmask": t[f"{UP}.bitmask"].to(torch.int32)}),
    lambda t: t[f"{UP}.bitmask"][0].fill_(255), lambda t: t[f"{UP}.row_offsets"].add_(1),
    lambda t: t[f"{UP}.row_offsets"][3].fill_(-5),
    lambda t: t[f"{UP}.compressed"][7].fill_(torch.nan),
    lambda t: t.update({"model.layers.7.mlp.up_proj.bitmask": t[f"{UP}.bitmask"].clone()}),
    lambda t: t.update({"nobody.weight": torch.zeros(3)}), lambda t: t.pop("model.norm.weight"),
])
def test_tensors_that_do_not_fit(edit: Callable[[dict[str, torch.Tensor]], Any], tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = old_bitmask.write(build("llama"), tmp_path / "old")
    change(folder, edit)
    with pytest.raises(NeurosparseError):
        load(folder)
    assert os.listdir(tmp_path) == ["old"]


def test_what_it_is_not(tmp_path: Path) -> None:
    folder = old_bitmask.write(build("llama"), tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    other = config["quantization_config"]
    for entries in ({**other, "config_groups": {}},
                    {**other, "sparsity_config": {"format": "sparse-24-bitmask"}}):
        (folder / "config.json").write_text(json.dumps(config | {"quantization_config": entries}))
        with pytest.raises(FormatError):
            convert_bitmask(folder, tmp_path / "new")
    with pytest.raises(InputError):
        convert_bitmask(tmp_path / "nowhere", tmp_path / "new")
    assert not is_bitmask(tmp_path / "nowhere") and not (tmp_path / "new").exists()
