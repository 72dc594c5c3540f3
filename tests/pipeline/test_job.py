"""The main job from Python: every way through it ends in the same kind of folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_text, tiny_tokenizer, write_tiny
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

import neurosparse as ns
from neurosparse.budgets import allocate
from neurosparse.errors import InputError, ResumeError
from neurosparse.measure import perplexity, sizes_only
from neurosparse.pipeline import evaluate, job
from neurosparse.pipeline.evaluate import read_windows
from neurosparse.pipeline.plan import draws_curves, faster
from neurosparse.pruning import prune
from neurosparse.records import RunRecord


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    write_tiny(folder / "model")
    (folder / "text.txt").write_text(tiny_text())
    return folder


@pytest.fixture(autouse=True, scope="module")
def draw_page() -> Iterator[Callable[[Path], Path]]:
    """The same evaluation, without the seconds that a fresh process takes to import torch.

    One job is timed and draws its page, ``exact``; the others leave out what no test of theirs
    looks at: the clock, and the figures. Gives what draws a page.
    """
    def here(name: str, windows: Path, arguments: list[str], **_: Any) -> dict[str, Any]:
        given, timed = read_windows(windows), "exact" in windows.parts
        dtype = arguments[arguments.index("--dtype") + 1]
        return evaluate(name, given.get("report"), prompt=given["prompt"][:, :8] if timed else None,
                        sample=timed, dtype=dtype, stream="--stream" in arguments)

    write = job.report.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "evaluate_alone", here)
        patch.setattr(job.report, "write",
                      lambda folder: write(folder) if "exact" in folder.parts else None)
        yield write


def compress(place: Path, out: str, sparsity: float = 0.6, **more: Any) -> Any:
    options = {"calibration": str(place / "text.txt"), "windows": 4, "window_length": 32,
               "report_windows": 3, **more}
    return ns.compress(str(place / "model"), sparsity, out=str(place / out), **options)


@pytest.fixture(scope="module")
def whole(place: Path) -> Any:
    """The usual job, in memory."""
    return compress(place, "whole", products="own")


@pytest.fixture(scope="module")
def exact(place: Path) -> Any:
    """A job whose packed values are the pruned ones, timed and with its page."""
    return compress(place, "exact", values="fp32", rule="uniform", products="own")


def test_streamed_and_in_memory_give_the_same_files(place: Path, whole: Any) -> None:
    # In the model's own type: bfloat16 products of batches of other sizes round otherwise.
    streamed = compress(place, "streamed", products="own", stream=True, hidden="disk")
    for file in ("model/model.safetensors", "model/budget.json", "budget.json"):
        assert (whole.folder / file).read_bytes() == (streamed.folder / file).read_bytes(), file
    assert np.array_equal(whole.profile.depth, streamed.profile.depth)
    assert whole.results["sizes"] == streamed.results["sizes"]
    mine, theirs = whole.results["rows"][-1], streamed.results["rows"][-1]
    assert mine["nll_by_window"] == theirs["nll_by_window"]
    with pytest.raises(InputError, match="search"):
        compress(place, "never", stream=True, rule="arithmetic", search_step=True)


def test_fast_products_are_nearly_the_same(place: Path, exact: Any) -> None:
    fast = compress(place, "fast", values="fp32", rule="uniform", products="auto")
    mine, theirs = (one.results["rows"][-1]["perplexity"] for one in (exact, fast))
    assert theirs == pytest.approx(mine, rel=0.02)
    assert exact.budget.targets == fast.budget.targets


def test_estimates_follow_the_type_of_products() -> None:
    assert faster("float32", "cpu", "own") == faster("bfloat16", "cpu", "auto") == 1
    fast = ns.models.fast_on(torch.device("cpu"))
    assert (faster("float32", "cpu", "auto") > 1) == (fast is torch.bfloat16)


def test_everything_is_there(exact: Any) -> None:
    assert {path.name for path in exact.folder.iterdir()} == {
        "model", "profile.h5", "budget.json", "run.json", "report.html"}
    for row in exact.results["rows"]:
        assert row["prefill_tokens_per_s"] > 0 and row["decode_tokens_per_s"] > 0
        assert row["peak_memory_bytes"] >= row["libraries_memory_bytes"] > 0
    assert exact.results["sample"]["text"]


def test_the_packed_model_is_the_pruned_model(place: Path, exact: Any) -> None:
    loaded = ns.models.load(str(place / "model"))
    tokens = read_tokens(place, loaded.tokenizer)
    prune(loaded.model, allocate(sizes_only(loaded.model), 0.6), tokens)
    packed = exact.load()
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


def test_counted_sizes_are_those_of_a_file_and_a_seed_is_recorded(place: Path, whole: Any) -> None:
    """What the table counts for int8 beside a bf16 run is what an int8 run then writes."""
    counted = {row["name"]: row["bytes"] for row in whole.results["sizes"]}
    seeded = compress(place, "write", values="int8", seed=3)
    size = next(row["bytes"] for row in seeded.results["sizes"] if row["name"] == "packed int8")
    # The file has a header of names, which the count leaves out.
    assert 0 < size - counted["packed int8"] < 8000
    # Of both jobs, the other of which drew no windows by a seed.
    seeds = [one.results["text"]["calibration"]["seed"] for one in (whole, seeded)]
    assert seeds == [None, 3]
    assert ns.budgets.Budget.read(seeded.folder / "budget.json").mean() == pytest.approx(0.6)


@pytest.mark.slow
@pytest.mark.parametrize("more", [
    {"stream": True, "hidden": "disk"}, {"values": "int4", "exclude": ("*.down_proj",)},
    {"rule": "arithmetic", "search_step": True, "selection_windows": 2}], ids=["streamed", "int4",
                                                                             "search"])
def test_every_job_has_its_page(place: Path, draw_page: Callable[[Path], Path], tmp_path: Path,
                                more: dict[str, Any]) -> None:
    page = draw_page(compress(place, str(tmp_path / "page"), **more).folder)
    assert page.read_text(encoding="utf-8").count("<svg") >= 8


@pytest.mark.parametrize("rule", ["uniform", "propagation"])
def test_curves_are_left_out_where_they_cost_more_than_the_rest(
    place: Path, whole: Any, rule: str, monkeypatch: pytest.MonkeyPatch,
    draw_page: Callable[[Path], Path]
) -> None:
    assert whole.profile.curves is not None
    monkeypatch.setattr(job, "draws_curves", lambda targets, tokens: False)
    plain = compress(place, f"plain-{rule}", products="own", rule=rule)
    assert plain.profile.curves is None
    if rule == "propagation":
        assert plain.budget.targets == whole.budget.targets
        assert plain.results["rows"][-1]["perplexity"] == whole.results["rows"][-1]["perplexity"]
    page = draw_page(plain.folder).read_text()
    assert "neurosparse profile, always" in page


def test_curves_are_drawn_of_small_models() -> None:
    def linears(inside: int, outside: int) -> list[Any]:
        shapes = [(inside, outside), (outside, inside)] * 24
        return [ns.models.Target(f"linear.{at}", 0, "up", shape)
                for at, shape in enumerate(shapes)]

    assert draws_curves(linears(576, 1536), 32 * 512)
    assert draws_curves(linears(576, 1536), 512)  # little, though many times the pass
    assert not draws_curves(linears(1536, 8960), 32 * 512)


def test_a_finished_run_is_given_back_to_the_same_request_alone(place: Path, whole: Any) -> None:
    again = compress(place, "whole", products="own", resume=True)
    assert again.results == whole.results
    for sparsity, more, name in ((0.5, {}, "sparsity 0.5"), (0.6, {"values": "int8"}, "values"),
                                 (0.6, {"windows": 3}, "windows 3"),
                                 (0.6, {"report_text": str(place / "text.txt")}, "_text")):
        with pytest.raises(ResumeError, match=f"{name}.*as in the finished run"):
            compress(place, "whole", sparsity, **{"products": "own", **more}, resume=True)
    write_tiny(place / "larger", blocks=4)
    with pytest.raises(ResumeError, match="larger"):
        ns.compress(str(place / "larger"), out=str(whole.folder), resume=True,
                    **{name: value for name, value in options_of(whole).items() if name not in
                       ("model", "out")})
    (place / "other.txt").write_text(tiny_text(seed=7))
    (place / "moved.txt").write_text(tiny_text())
    named = {"calibration": str(place / "moved.txt"), "method": "magnitude", "rule": "uniform"}
    compress(place, "moved", **named)
    (place / "other.txt").replace(place / "moved.txt")
    with pytest.raises(ResumeError, match="calibration_text"):
        compress(place, "moved", **named, resume=True)


def options_of(result: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = RunRecord.read(result.folder / "run.json").arguments
    return {**arguments, "exclude": tuple(arguments["exclude"])}


def test_a_model_without_a_key_value_cache_finishes(place: Path) -> None:
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, bos_token_id=1,
                         eos_token_id=2, pad_token_id=2, state_size=4)
    MambaForCausalLM(config).save_pretrained(place / "mamba")
    tiny_tokenizer().save_pretrained(place / "mamba")
    given = {"model": str(place / "mamba"), "sparsity": 0.5, "window_length": 32, "windows": 4,
             "calibration": str(place / "text.txt"), "report_windows": 3, "rule": "uniform"}
    with pytest.raises(InputError, match=r"dt_proj by wanda.*--exclude '\*.dt_proj'"):
        ns.compress(**given, out=str(place / "never-mamba"))
    done = ns.compress(**given, out=str(place / "mamba-out" / "exact"), exclude=("*.dt_proj",))
    for row in done.results["rows"]:
        assert row["decode_tokens_per_s"] is None and row["core_decode_tokens_per_s"] is None
        assert row["prefill_tokens_per_s"] > 0 and row["decode_bytes"] > 0
    assert done.results["rows"][-1]["perplexity"] > 1 and done.results["sample"]
    assert sum("no decode speed" in note for note in done.results["notes"]) == 1


def test_shapes_are_refused_before_the_profile(place: Path, monkeypatch: pytest.MonkeyPatch
                                               ) -> None:
    monkeypatch.setattr(job, "profile", None)
    with pytest.raises(InputError, match=r"q_proj n:7: found 64 inputs.*multiple of 7.*Exclude"):
        compress(place, "seventh", pattern="n:7")
    with pytest.raises(InputError, match=r"windows of 300 tokens.*context of 256"):
        compress(place, "long", window_length=300)
    assert not (place / "seventh").exists() and not (place / "long").exists()


@pytest.mark.parametrize("rule", ["propagation", "owl"])
def test_a_budget_of_zero_needs_nothing_measured(place: Path, rule: str) -> None:
    done = compress(place, f"zero-{rule}", 0.0, rule=rule)
    assert done.results["sparsity"] == {"asked": 0.0, "kept": 0.0}
    assert set(done.budget.counts().values()) == {0}


def test_a_prompt_leaves_room_for_what_is_written(place: Path) -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=32, n_layer=1, n_head=2,
                                       n_positions=64, bos_token_id=1, eos_token_id=2))
    model.save_pretrained(place / "gpt2")
    prompt = torch.ones(1, 64, dtype=torch.int64)
    found = evaluate(str(place / "gpt2"), prompt, prompt=prompt, sample=False)
    assert found["prompt_tokens"] + found["decode_steps"] < 64 and found["perplexity"] > 1


def test_solvers_get_the_compensated_budget() -> None:
    plain = ns.pipeline.CompressOptions("m", 0.6)
    assert plain.rule_options == {}
    for more in ({"method": "sparsegpt"}, {"method": "alps"}):
        found = ns.pipeline.CompressOptions("m", 0.6, **more)
        assert found.rule_options == {"compensated": True}
    found = ns.pipeline.CompressOptions("m", 0.6, refit=0.3)
    assert found.rule_options == {"compensated": True, "refit": True}
    other = ns.pipeline.CompressOptions("m", 0.6, method="sparsegpt", rule="uniform")
    assert other.rule_options == {}
