"""Uneven models come back from their folder, even ones load in the stock class."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from models.families import build, relative_error, tokens
from safetensors.torch import load_file, save_file
from structured.cases import DENSE, MIXTURES, logits, rates
from transformers import AutoModelForCausalLM
from transformers.quantizers.auto import (
    AUTO_QUANTIZATION_CONFIG_MAPPING,
    AUTO_QUANTIZER_MAPPING,
)

from neurosparse import models
from neurosparse.budgets import allocate
from neurosparse.errors import FormatError, ModelError
from neurosparse.files import read_json, write_json
from neurosparse.measure import sizes_only
from neurosparse.pruning import prune
from neurosparse.pruning.structured import drop_blocks, prune_structured
from neurosparse.sparse import export_even, load, register, save, save_uneven

# One process, because it starts slowly: first without the package, then with it.
_FRESH = """
import sys, torch
from pathlib import Path
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
root = Path(sys.argv[1])
text = load_file(root / "text.safetensors")["text"]
found = {}
for folder in sorted(root.glob("*-stock")):
    found[folder.name] = AutoModelForCausalLM.from_pretrained(folder)(text).logits.detach()
assert "neurosparse" not in sys.modules
import neurosparse as ns
ns.register()
for folder in sorted(root.glob("*-uneven")):
    model = AutoModelForCausalLM.from_pretrained(folder)
    found[folder.name] = model(text).logits.detach()
save_file(found, root / "logits.safetensors")
assert "transformers_modules" not in sys.modules  # where code from a checkpoint would be
"""


def cut_model(family: str, **options: Any) -> Any:
    model = build(family)
    prune_structured(model, rates(0.25, 0.4, 0.55), tokens(), **options)
    return model


def read(folder: Path, **options: Any) -> Any:
    register()
    return AutoModelForCausalLM.from_pretrained(folder, **options)


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_logits(tmp_path: Path) -> None:
    """Uneven models with the package; models without whole blocks in the stock class."""
    expected = {}
    for family in ("llama", "phi3", "mixtral", "gemma3"):
        model = cut_model(family, compensate="bias" if family == "llama" else True)
        name = f"{family}-uneven"
        save_uneven(model, tmp_path / name)
        expected[name] = logits(model, tokens())
        files = {path.suffix for path in (tmp_path / name).iterdir()}
        assert files == {".json", ".safetensors"}
    for family in [*DENSE, *MIXTURES]:
        model = build(family)
        drop_blocks(model, [0])
        model.save_pretrained(tmp_path / f"{family}-stock")
        expected[f"{family}-stock"] = logits(model, tokens())
    save_file({"text": tokens()}, tmp_path / "text.safetensors")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", _FRESH, str(tmp_path)], check=True, env=environment)
    found = load_file(tmp_path / "logits.safetensors")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert relative_error(found[name], value) < 1e-6, name


@pytest.mark.parametrize(("family", "options"), [
    *((family, {}) for family in [*DENSE, *MIXTURES]),
    ("qwen3", {"heads": "queries"}), ("qwen2", {"compensate": "bias"}),
    *((family, {"experts": True}) for family in MIXTURES),
])
def test_no_key_is_missing_and_it_saves_again(family: str, options: dict[str, Any],
                                              tmp_path: Path) -> None:
    model = cut_model(family, **options)
    save_uneven(model, tmp_path / "a")
    first, info = read(tmp_path / "a", output_loading_info=True)
    assert not any(info.values()), info
    assert torch.equal(logits(first, tokens()), logits(model, tokens()))
    # It is an ordinary model: it casts and says nothing of quantisation, but saves its widths.
    assert not getattr(first, "is_quantized", False) and not hasattr(first, "hf_quantizer")
    assert first.half().dtype == torch.float16
    first.float().save_pretrained(tmp_path / "b")
    again = read(tmp_path / "b")
    assert relative_error(logits(again, tokens()), logits(model, tokens())) < 0.05
    told = read_json(tmp_path / "b" / "config.json")["neurosparse_widths"]
    assert told == read_json(tmp_path / "a" / "config.json")["neurosparse_widths"]
    assert len({str(block) for block in told["blocks"]}) > 1


@pytest.mark.parametrize(("family", "options"), [
    *((family, {}) for family in [*DENSE, *MIXTURES]),
    ("llama", {"heads": "queries"}), ("phi3", {"heads": "queries"}),
    ("llama", {"compensate": "bias"}), ("qwen3_moe", {"heads": "queries"}),
])
def test_even_models_load_in_the_stock_class(family: str, options: dict[str, Any],
                                             tmp_path: Path) -> None:
    model = cut_model(family, **options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changed = export_even(model, tmp_path / "even", round_to=8)
    config = read_json(tmp_path / "even" / "config.json")
    assert "quantization_config" not in config and "neurosparse_widths" not in config
    even, info = AutoModelForCausalLM.from_pretrained(tmp_path / "even", output_loading_info=True)
    assert type(even) is type(model) and not any(info.values()), info
    assert relative_error(logits(even, tokens()), logits(model, tokens())) < 1e-5
    assert all(getattr(even.config, name) == value for name, value in changed.items())
    most = max(layer.mlp.down_proj.in_features for layer in model.model.layers) \
        if family in DENSE else 0
    assert family not in DENSE or even.config.intermediate_size == -(-most // 8) * 8 < 48
    if options.get("heads") == "queries":
        assert changed["num_attention_heads"] == 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_what_the_stock_class_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="compensate"):
        export_even(cut_model("qwen2", compensate="bias"), tmp_path / "a")
    with pytest.raises(ModelError, match="experts"):
        export_even(cut_model("mixtral", experts=True), tmp_path / "a")
    with pytest.raises(ModelError, match="save_pretrained"):
        save_uneven(build("llama"), tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process where nobody called ``register``."""
    for table in (AUTO_QUANTIZER_MAPPING, AUTO_QUANTIZATION_CONFIG_MAPPING):
        for name in ("neurosparse", "neurosparse-uneven"):
            monkeypatch.delitem(table, name, raising=False)


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize(("family", "options"), [
    ("llama", {"heads": "queries"}), ("phi3", {}), ("qwen2", {"compensate": "bias"}),
    ("mixtral", {"experts": True}), ("qwen3_moe", {}),
])
def test_models_load_reads_it_by_itself(family: str, options: dict[str, Any], tmp_path: Path
                                        ) -> None:
    model = cut_model(family, **options)
    save_uneven(model, tmp_path / "a")
    empty = models.load_empty(tmp_path / "a")
    streamed = models.load(tmp_path / "a", stream=True).model
    whole = models.load(tmp_path / "a").model
    assert models.identity(empty)["sha256"] == models.identity(model)["sha256"]
    assert models.identity(streamed)["sha256"] == models.identity(model)["sha256"]
    assert torch.equal(logits(whole, tokens()), logits(model, tokens()))
    walks = [models.BlockWalk(one, tokens()) for one in (whole, streamed)]
    for walk in walks:
        for index in range(walk.n_blocks):
            walk.run(index, keep=True)
    assert torch.equal(walks[0].logits(0), walks[1].logits(0))
    prune_structured(whole, rates(0.2, 0.2, 0.2), tokens())  # and it is cut again
    save_uneven(whole, tmp_path / "b")
    again = models.load(tmp_path / "b").model
    assert torch.equal(logits(again, tokens()), logits(whole, tokens()))
    assert sum(p.numel() for p in again.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.usefixtures("unknown")
def test_the_shapes_of_a_packed_cut_are_known(tmp_path: Path) -> None:
    model = cut_model("llama")
    prune(model, allocate(sizes_only(model), 0.6), tokens())
    save(model, tmp_path / "packed", values="fp32")
    empty = models.load_empty(tmp_path / "packed")
    assert models.identity(empty)["sha256"] == models.identity(model)["sha256"]


@pytest.mark.usefixtures("unknown")
def test_what_is_wrong_with_its_widths_is_said_once(tmp_path: Path) -> None:
    save_uneven(cut_model("llama"), tmp_path / "a")
    config = read_json(tmp_path / "a" / "config.json")
    config["neurosparse_widths"]["blocks"][1]["mlp"]["neurons"] = 49
    write_json(tmp_path / "a" / "config.json", config)
    for how in (models.load, models.load_empty, partial(models.load, stream=True)):
        with pytest.raises(FormatError, match="neurons=49") as error:
            how(tmp_path / "a")
        assert str(error.value).count("; expected") == 1


def test_a_cut_model_is_pruned_packed_and_loaded(tmp_path: Path) -> None:
    model = cut_model("phi3")
    prune(model, allocate(sizes_only(model), 0.6), tokens())
    save(model, tmp_path / "packed", values="fp32")
    loaded = load(tmp_path / "packed")
    assert relative_error(logits(loaded, tokens()), logits(model, tokens())) < 1e-5
    assert torch.equal(logits(read(tmp_path / "packed", dtype="float32"), tokens()),
                       logits(loaded, tokens()))


@pytest.mark.parametrize("change", [
    lambda told: told.update(version=2),
    lambda told: told.update(more=1),
    lambda told: told["blocks"].pop(),
    lambda told: told["blocks"][0].pop("mlp"),
    lambda told: told["blocks"][1].update(mlp2={"neurons": 3}),
    lambda told: told["blocks"][1]["mlp"].update(neurons=49),
    lambda told: told["blocks"][1]["mlp"].update(neurons=0),
    lambda told: told["blocks"][1]["mlp"].update(neurons="many"),
    lambda told: told["blocks"][0]["self_attn"].update(heads=3),
    lambda told: told.update(bias=["model.layers.7.mlp.down_proj"]),
    lambda told: told.update(bias=["model.norm"]),
])
def test_widths_that_do_not_fit_are_refused(change: Any, tmp_path: Path) -> None:
    save_uneven(cut_model("llama"), tmp_path / "a")
    config = read_json(tmp_path / "a" / "config.json")
    change(config["neurosparse_widths"])
    write_json(tmp_path / "a" / "config.json", config)
    with pytest.raises(FormatError, match=r"widths in config\.json"):
        read(tmp_path / "a")


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    save_uneven(cut_model("llama"), tmp_path / "a")
    config = read_json(tmp_path / "a" / "config.json")
    config["quantization_config"]["version"] = 2
    write_json(tmp_path / "a" / "config.json", config)
    with pytest.raises(FormatError, match="version"):
        read(tmp_path / "a")
    del config["neurosparse_widths"]
    config["quantization_config"]["version"] = 1
    write_json(tmp_path / "a" / "config.json", config)
    with pytest.raises(FormatError, match="neurosparse_widths"):
        read(tmp_path / "a")
