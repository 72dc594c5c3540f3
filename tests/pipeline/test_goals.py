"""Goals: bytes as the files have them, perplexity and speed as they are measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from losa_cases import sparse_gpt2
from models.families import build
from tiny import tiny_text, write_tiny

import neurosparse as ns
from neurosparse.budgets import allocate
from neurosparse.cli.app import app
from neurosparse.errors import BudgetError
from neurosparse.measure import sizes_only
from neurosparse.pipeline import Goal, StepOptions, sparsity_for_goal
from neurosparse.pipeline.goals import allocator_of
from neurosparse.pipeline.packed_file import packed_file_bytes


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("goals")
    write_tiny(folder / "m")
    (folder / "t.txt").write_text(tiny_text())
    return folder


def _options(place: Path) -> StepOptions:
    return StepOptions(str(place / "m"), calibration=str(place / "t.txt"), windows=4,
                       window_length=32)


@pytest.mark.parametrize(("values", "limit"), [("bf16", 120_000), ("int8", 75_000)])
def test_bytes_are_those_of_the_files(values: str, limit: int, place: Path) -> None:
    loaded = ns.models.load(str(place / "m"))
    uniform = allocator_of(sizes_only(loaded.model), "uniform", {})
    met = sparsity_for_goal(Goal(bytes=limit), _options(place), uniform, values=values)
    assert met.value <= limit
    tokens = ns.models.windows(loaded.tokenizer, [tiny_text()], length=32)[:2]
    ns.pruning.prune(loaded.model, uniform(met.sparsity), tokens)
    sizes = ns.sparse.save(loaded.model, place / values, values=values)
    stored = sum(file.stat().st_size for file in (place / values).glob("*.safetensors"))
    # Header and all; what is counted is the file, to the byte.
    assert sizes["packed"] + sizes["dense"] < stored == met.value <= limit
    with pytest.raises(BudgetError, match="too large"):
        sparsity_for_goal(Goal(bytes=1000), _options(place), uniform)


def _smallest(model: torch.nn.Module, rate: float) -> dict[str, int]:
    """Zeros at the start of every weight; how many, by target."""
    dropped = {}
    for index, target in enumerate(ns.models.find_targets(model)):
        dropped[target.name] = int(target.size * rate * (index % 3))
        flat = ns.models.get_weight(model, target)
        flat.masked_fill_(torch.arange(target.size).view(target.shape) < dropped[target.name], 0)
    return dropped


@pytest.mark.parametrize("values", ["bf16", "int8", "int4", "fp32"])
@pytest.mark.parametrize("family", ["llama", "gemma3", "mixtral", "gpt_oss", "qwen2"])
def test_the_file_is_counted_to_the_byte(family: str, values: str, tmp_path: Path) -> None:
    """Tied and rounded vocabularies, fused experts packed and not, matrices that stay dense."""
    model = build(family)
    dropped = _smallest(model, 0.4)
    counted = packed_file_bytes(model, ns.models.find_targets(model), dropped, values)
    ns.sparse.save(model, tmp_path / "m", values=values)
    assert counted == (tmp_path / "m" / "model.safetensors").stat().st_size


@pytest.mark.parametrize(("values", "group"), [("int4", 32), ("int4", 128), ("int8", 64)])
def test_groups_are_counted_to_the_byte(values: str, group: int, tmp_path: Path) -> None:
    model = build("llama")
    dropped = _smallest(model, 0.4)
    counted = packed_file_bytes(model, ns.models.find_targets(model), dropped, values, group)
    ns.sparse.save(model, tmp_path / "m", values=values, group_size=group)
    assert counted == (tmp_path / "m" / "model.safetensors").stat().st_size


def test_conv1d_is_counted_to_the_byte(tmp_path: Path) -> None:
    model = sparse_gpt2(0.0)
    dropped = _smallest(model, 0.4)
    counted = packed_file_bytes(model, ns.models.find_targets(model), dropped, "bf16")
    ns.sparse.save(model, tmp_path / "m")
    assert counted == (tmp_path / "m" / "model.safetensors").stat().st_size


def test_perplexity_keeps_the_limit(place: Path) -> None:
    loaded = ns.models.load(str(place / "m"))
    uniform = allocator_of(sizes_only(loaded.model), "uniform", {})
    found = sparsity_for_goal(Goal(perplexity=1e9), _options(place), uniform)
    assert found.value <= 1e9 and found.sparsity > 0.7 and len(found.trials) <= 6
    with pytest.raises(BudgetError, match="perplexity"):
        sparsity_for_goal(Goal(perplexity=1.5), _options(place), uniform)


def test_speed_is_measured(place: Path) -> None:
    uniform = allocator_of(sizes_only(ns.models.load(str(place / "m")).model), "uniform", {})
    assert sparsity_for_goal(Goal(tokens_per_s=0.01), _options(place), uniform).sparsity == 0
    with pytest.raises(BudgetError, match="seconds a token"):
        sparsity_for_goal(Goal(tokens_per_s=1e9), _options(place), uniform)


def test_goals_on_the_command_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: object) -> None:
        app([str(word) for word in words], standalone_mode=False)

    text = ("--calibration", place / "t.txt", "--windows", 4, "--window-length", 32)
    run("profile", place / "m", "--evidence", "owl", "--evidence", "dlp", "--evidence", "curves",
        *text, "--out", place / "p.h5", "--progress", "none")
    run("allocate", place / "p.h5", "--rule", "owl", "--max-bytes", 120_000, "--model",
        place / "m", *text, "--out", place / "b.json", "--figure", place / "b.png")
    assert "--max-bytes" in capsys.readouterr().err
    assert (place / "b.png").stat().st_size > 10_000
    kept = ns.budgets.Budget.read(place / "b.json").total.kept
    assert 0 < kept < 0.9
    record = ns.records.RunRecord.read(place / "b.run.json")
    assert record.arguments["goal"] == "--max-bytes" and record.results["value"] <= 120_000
    assert record.results["sparsity"] == pytest.approx(kept) and record.results["trials"]
    with pytest.raises(BudgetError, match="without --model"):
        run("allocate", place / "p.h5", "--rule", "owl", "--max-perplexity", 20)
    with pytest.raises(BudgetError, match="one of --sparsity"):
        run("allocate", place / "p.h5", "--rule", "owl", "--max-perplexity", 20, "--bits", 5)
    with pytest.raises(BudgetError, match="one of bytes"):
        Goal(bytes=3, perplexity=4)
    kept = allocate(ns.budgets.Profile.read(place / "p.h5"), 0.5, rule="dlp").total.kept
    assert kept == pytest.approx(0.5)
