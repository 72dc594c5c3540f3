"""The main job from Python: every way through it ends in the same kind of folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_text, write_tiny

import neurosparse as ns
from neurosparse.budgets import allocate
from neurosparse.errors import InputError
from neurosparse.measure import perplexity, sizes_only
from neurosparse.pipeline import evaluate, job
from neurosparse.pipeline.evaluate import read_windows
from neurosparse.pruning import prune


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    write_tiny(folder / "model")
    (folder / "text.txt").write_text(tiny_text())
    return folder


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same evaluation, without the seconds that a fresh process takes to import torch."""
    def here(name: str, windows: Path, arguments: list[str], **_: Any) -> dict[str, Any]:
        given = read_windows(windows)
        dtype = arguments[arguments.index("--dtype") + 1]
        return evaluate(name, given.get("report"), prompt=given["prompt"][:, :8], dtype=dtype,
                        stream="--stream" in arguments)

    monkeypatch.setattr(job, "evaluate_alone", here)


def compress(place: Path, out: str, sparsity: float = 0.6, **more: Any) -> Any:
    options = {"calibration": str(place / "text.txt"), "windows": 4, "window_length": 32,
               "report_windows": 3, **more}
    return ns.compress(str(place / "model"), sparsity, out=str(place / out), **options)


def test_streamed_and_in_memory_give_the_same_files(place: Path) -> None:
    # In the model's own type: bfloat16 products of batches of other sizes round otherwise.
    whole = compress(place, "whole", products="own")
    streamed = compress(place, "streamed", products="own", stream=True, hidden="disk")
    for file in ("model/model.safetensors", "model/budget.json", "budget.json"):
        assert (whole.folder / file).read_bytes() == (streamed.folder / file).read_bytes(), file
    assert np.array_equal(whole.profile.depth, streamed.profile.depth)
    assert whole.results["sizes"] == streamed.results["sizes"]
    mine, theirs = whole.results["rows"][-1], streamed.results["rows"][-1]
    assert mine["nll_by_window"] == theirs["nll_by_window"]
    with pytest.raises(InputError, match="search"):
        compress(place, "never", stream=True, rule="arithmetic", search_step=True)


def test_fast_products_are_nearly_the_same(place: Path) -> None:
    own, fast = (compress(place, f"products-{one}", rule="uniform", products=one)
                 for one in ("own", "auto"))
    mine, theirs = (one.results["rows"][-1]["perplexity"] for one in (own, fast))
    assert theirs == pytest.approx(mine, rel=0.02)
    assert own.budget.targets == fast.budget.targets


def test_the_packed_model_is_the_pruned_model(place: Path) -> None:
    result = compress(place, "fp32", values="fp32", rule="uniform", products="own")
    loaded = ns.models.load(str(place / "model"))
    tokens = read_tokens(place, loaded.tokenizer)
    prune(loaded.model, allocate(sizes_only(loaded.model), 0.6), tokens)
    packed = result.load()
    inputs = torch.arange(3, 43)[None]
    linear = loaded.model.model.layers[1].mlp.up_proj
    assert torch.equal(packed.model.layers[1].mlp.up_proj.to_dense(), linear.weight)
    ours, theirs = packed(inputs).logits, loaded.model(inputs).logits
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


def read_tokens(place: Path, tokenizer: Any) -> torch.Tensor:
    from neurosparse.pipeline import CompressOptions
    from neurosparse.pipeline.texts import gather

    options = CompressOptions("m", 0.6, calibration=str(place / "text.txt"), windows=4,
                              window_length=32, report_windows=3)
    return gather(options, tokenizer).calibration


def test_search_takes_the_best_step_on_the_selection_text(place: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosparse.pipeline import search_step

    monkeypatch.setattr(search_step, "GRID", 0.1)
    result = compress(place, "search", rule="arithmetic", search_step=True, selection_windows=2)
    tried = result.results["search"]
    assert [float(step) for step in tried] == [0.0, 0.1, 0.2, 0.3, 0.4]
    best = float(min(tried, key=tried.get))
    assert result.budget.rule.options == {"step": best}
    assert set(result.results["text"]) == {"calibration", "selection", "report"}
    again = ns.models.load(str(place / "model"))
    prune(again.model, allocate(sizes_only(again.model), 0.6, rule="arithmetic", step=0.1),
          read_tokens_for_search(place, again.tokenizer)[0])
    selection = read_tokens_for_search(place, again.tokenizer)[1]
    assert perplexity(again.model, selection).value == pytest.approx(tried["0.1"], rel=1e-9)


def read_tokens_for_search(place: Path, tokenizer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    from neurosparse.pipeline import CompressOptions
    from neurosparse.pipeline.texts import gather

    options = CompressOptions("m", 0.6, calibration=str(place / "text.txt"), windows=4,
                              window_length=32, report_windows=3, selection_windows=2,
                              rule="arithmetic", search_step=True)
    texts = gather(options, tokenizer)
    assert texts.selection is not None
    return texts.calibration, texts.selection


@pytest.mark.parametrize("values", ["fp16", "int8", "int4"])
def test_other_values_and_excluded_linears(place: Path, values: str) -> None:
    result = compress(place, values, values=values, exclude=("*.down_proj",), method="magnitude")
    assert len(result.budget.targets) == 18
    packed = result.load()
    assert type(packed.model.layers[0].mlp.down_proj) is torch.nn.Linear
    assert type(packed.model.layers[0].mlp.up_proj).__name__ == "SparseLinear"
    rows = {row["name"]: row for row in result.results["sizes"]}
    assert rows[f"packed {values}"]["measured"]
    file = result.folder / "model" / "model.safetensors"
    assert rows[f"packed {values}"]["bytes"] == file.stat().st_size


def test_counted_sizes_are_those_of_a_file(place: Path) -> None:
    """What the table counts for int8 beside a bf16 run is what an int8 run then writes."""
    counted = {row["name"]: row["bytes"] for row in compress(place, "count").results["sizes"]}
    written = compress(place, "write", values="int8").results["sizes"]
    size = next(row["bytes"] for row in written if row["name"] == "packed int8")
    # The file has a header of names, which the count leaves out.
    assert 0 < size - counted["packed int8"] < 8000


def test_a_seed_changes_the_windows_and_is_recorded(place: Path) -> None:
    result = compress(place, "seed", seed=3)
    assert result.results["text"]["calibration"]["seed"] == 3
    assert ns.budgets.Budget.read(result.folder / "budget.json").mean() == pytest.approx(0.6)


def test_solvers_get_the_compensated_budget() -> None:
    plain = ns.pipeline.CompressOptions("m", 0.6)
    assert plain.rule_options == {}
    for more in ({"method": "sparsegpt"}, {"method": "alps"}, {"refit": 0.3}):
        found = ns.pipeline.CompressOptions("m", 0.6, **more)
        assert found.rule_options == {"compensated": True}
    other = ns.pipeline.CompressOptions("m", 0.6, method="sparsegpt", rule="uniform")
    assert other.rule_options == {}
