"""``adapt`` without a sparsity and ``prune --structured --recover``: cut models learn again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_runner import Done, files, interrupted_here, linked, refused, run, write_records
from losa_cases import sparse_model
from safetensors.torch import load_file
from tiny import tiny_text, tiny_tokenizer, write_tiny
from transformers import AutoModelForCausalLM

import neurosparse as ns
from neurosparse.models import find_targets

WIDTHS = "neurosparse_widths"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a cut one and a text that no test changes."""
    folder = tmp_path_factory.mktemp("recovery")
    write_tiny(folder / "model", blocks=2)
    write_records(folder / "own.jsonl", tiny_text(6000))
    done = run("prune", folder / "model", "--structured", "--rate", "0.3", "--calibration",
               folder / "own.jsonl", "--windows", "4", "--window-length", "32", "--out",
               folder / "cut")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def place(shared: Path, tmp_path: Path) -> Path:
    """A folder of the test's own, with links to what is shared."""
    return linked(shared, tmp_path, "model", "cut", "own.jsonl")


def _adapt(place: Path, *more: str, model: str = "cut") -> list[str]:
    return ["adapt", str(place / model), "--data", str(place / "own.jsonl"), "--window-length",
            "32", "--rank", "4", "--learning-rate", "5e-3", "--out", str(place / "out"),
            "--values", "fp32", *more]


def _widths(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())[WIDTHS]


def _logits(folder: Path) -> torch.Tensor:
    ns.register()
    with torch.no_grad():
        found: torch.Tensor = AutoModelForCausalLM.from_pretrained(folder)(
            torch.arange(3, 19)[None]).logits
    return found


@pytest.fixture(scope="module")
def whole(shared: Path) -> Done:
    """One undisturbed recovery; what it wrote lies in ``shared / "out"``."""
    return run(*_adapt(shared, "--json"))


def test_a_cut_model_recovers_and_is_cut_as_before(whole: Done, shared: Path) -> None:
    assert whole.code == 0, whole.err
    found, out = whole.json, shared / "out"
    assert files(out) == ["losses.jsonl", "model", "run.json", "steps.json"]
    assert found["form"] == "uneven" and found["sparsity"] == 0.0 and len(found["steps"]) == 1
    assert _widths(out / "model") == _widths(shared / "cut")
    before = load_file(shared / "cut" / "model.safetensors")
    after = load_file(out / "model" / "model.safetensors")
    assert {k: v.shape for k, v in after.items()} == {k: v.shape for k, v in before.items()}
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    small = AutoModelForCausalLM.from_pretrained(out / "model")
    assert changed == {f"{target.name}.weight" for target in find_targets(small)}
    # Saved in float32, so its perplexity is the one that was reported.
    texts = ns.models.windows(tiny_tokenizer(), ns.models.read_documents(shared / "own.jsonl"),
                              length=32)[-found["report_windows"] - 3:]
    held = texts[: found["report_windows"]]
    assert ns.measure.perplexity(small, held).value == pytest.approx(
        found["adapted"]["perplexity"], rel=1e-6)
    written = run("generate", out / "model", "--prompt", "w1 w2", "--no-chat",
                  "--max-new-tokens", "4")
    assert written.code == 0, written.err


def test_table_dry_run_and_dtype(place: Path) -> None:
    dry = run(*_adapt(place, "--dry-run", "--json"))
    assert dry.code == 0 and not (place / "out").exists()
    whole = run(*_adapt(place, "--dry-run", "--json", model="model")).json
    assert dry.json["prunings"] == 0 and dry.json["seconds"]["prune"] == 0
    assert dry.json["parameters"] < whole["parameters"]  # the widths are those of the cut
    done = run(*_adapt(place, "--values", "bf16"))
    assert done.code == 0, done.err
    assert "before" in done.out and "blocks of different widths" in done.out
    assert "adaptation.png" not in done.out
    stored = load_file(place / "out" / "model" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}


def test_interrupted_and_resumed(place: Path, whole: Done) -> None:
    cut = interrupted_here(*_adapt(place), after="learn\t40")
    assert cut.code == 130 and "--resume" in cut.err
    refused(run(*_adapt(place)), "unfinished work", "--resume")
    done = run(*_adapt(place, "--resume", "--json"))
    assert done.code == 0, done.err
    assert done.json["adapted"] == whole.json["adapted"]
    assert done.json["steps"][0]["losses"] == whole.json["steps"][0]["losses"]


@pytest.mark.slow
def test_a_teacher(place: Path) -> None:
    done = run(*_adapt(place, "--distill", "1", "--teacher", str(place / "model"), "--json"))
    assert done.code == 0, done.err
    losses = done.json["steps"][0]["losses"]
    assert 0 < losses[-1] < 1e-2 < 4 < run(*_adapt(place, "--overwrite", "--json")).json[
        "steps"][0]["losses"][-1]


@pytest.mark.slow
def test_a_sparse_model_comes_back_packed_as_sparse(place: Path) -> None:
    """From a dense folder with zeros, and again from the packed one that this gave."""
    model = sparse_model(0.6, blocks=2)
    model.save_pretrained(place / "sparse")
    tiny_tokenizer().save_pretrained(place / "sparse")
    one = run(*_adapt(place, "--json", model="sparse"))
    assert one.code == 0, one.err
    assert one.json["form"] == "packed" and one.json["sparsity"] > 0.55
    (place / "out").rename(place / "first")
    assert run(*_adapt(place, "--dry-run", model="first/model")).code == 0
    two = run(*_adapt(place, "--json", model="first/model"))
    assert two.code == 0, two.err
    assert two.json["sparsity"] == one.json["sparsity"] and two.json["form"] == "packed"
    assert two.json["before"]["perplexity"] == pytest.approx(one.json["adapted"]["perplexity"],
                                                             rel=1e-5)
    first, second = (ns.sparse.load(place / name / "model") for name in ("first", "out"))
    masks = [[m.packed().bitmap for m in one.modules() if isinstance(m, ns.sparse.SparseLinear)]
             for one in (first, second)]
    assert len(masks[0]) == 14 and all(map(torch.equal, *masks))


@pytest.mark.slow
def test_a_cut_model_is_pruned_further(place: Path) -> None:
    """LoSA on a cut model: packed and uneven."""
    done = run(*_adapt(place, "--sparsity", "0.6", "--steps", "2", "--windows", "8", "--json"))
    assert done.code == 0, done.err
    assert done.json["form"] == "packed" and abs(done.json["sparsity"] - 0.6) < 1e-3
    assert _widths(place / "out" / "model") == _widths(place / "cut")
    model = ns.sparse.load(place / "out" / "model")
    assert sum(m.nnz for m in model.modules() if hasattr(m, "nnz")) > 0


def test_a_model_without_a_cut_learns_too(place: Path) -> None:
    done = run(*_adapt(place, "--json", "--update", "values", model="model"))
    assert done.code == 0, done.err
    assert done.json["form"] == "dense"
    assert torch.isfinite(_logits(place / "out" / "model")).all()


def _cut(place: Path, *more: str) -> list[str]:
    return ["prune", str(place / "model"), "--structured", "--rate", "0.3", "--calibration",
            str(place / "own.jsonl"), "--windows", "4", "--window-length", "32", "--out",
            str(place / "small"), *more]


@pytest.mark.slow
def test_cut_and_recover_at_once_is_one_after_the_other(place: Path, whole: Done) -> None:
    own = str(place / "own.jsonl")
    before = files(place)
    dry = run(*_cut(place, "--recover", own, "--dry-run"))
    assert dry.code == 0 and "recover" in dry.out and files(place) == before
    done = run(*_cut(place, "--recover", own, "--rank", "4", "--learning-rate", "5e-3"))
    assert done.code == 0, done.err
    assert "recovered in" in done.out and "small-recovered/model" in done.out
    record = json.loads((place / "small-recovered" / "run.json").read_text())["results"]
    assert record["adapted"] == whole.json["adapted"]
    assert torch.equal(_logits(place / "small"), _logits(place / "cut"))
    assert torch.equal(_logits(place / "small-recovered" / "model"),
                       _logits(place.joinpath("cut").resolve().parent / "out" / "model"))


def test_whole_blocks_recover_from_their_teacher(place: Path) -> None:
    command = _cut(place, "--blocks", "1", "--recover", str(place / "own.jsonl"), "--distill", "1",
                   "--recover-tokens", "640")
    at = command.index("--rate")
    done = run(*command[:at], *command[at + 2:])
    assert done.code == 0, done.err
    record = json.loads((place / "small-recovered" / "run.json").read_text())
    assert record["arguments"]["teacher"] == str(place / "model")
    assert record["results"]["form"] == "dense" and record["results"]["training_windows"] == 20
    small = AutoModelForCausalLM.from_pretrained(place / "small-recovered" / "model")
    assert len(small.model.layers) == 1


@pytest.mark.parametrize(("more", "said"), [
    (("--steps", "3"), "steps 3 without a sparsity"),
    (("--rule", "uniform"), "rule 'uniform' without a sparsity"),
    (("--refit", "0.3"), "refit 0.3 without"), (("--pattern", "2:4"), "pattern '2:4' without"),
    (("--regrow",), "regrow True without"), (("--ranks", "error"), "ranks 'error' without"),
    (("--method", "sparsegpt"), "method 'sparsegpt' without"), (("--refit", "0"), "refit 0.0"),
    (("--distill", "1"), "--teacher MODEL"),
    (("--teacher", "nowhere"), "nowhere"), (("--tokens", "32"), "at least one batch"),
    (("--batch", "1000"), "--batch"), (("--window-length", "9000"), "one window"),
])
def test_bad_recoveries(place: Path, more: tuple[str, ...], said: str) -> None:
    refused(run(*_adapt(place, *more)), said)


def test_a_teacher_with_no_share_or_other_words(place: Path) -> None:
    refused(run(*_adapt(place, "--teacher", str(place / "model"))), "--distill 1")
    write_tiny(place / "other", blocks=1)
    words = json.loads((place / "other" / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    vocabulary["w0"], vocabulary["w1"] = vocabulary["w1"], vocabulary["w0"]
    (place / "other" / "tokenizer.json").write_text(json.dumps(words))
    refused(run(*_adapt(place, "--overwrite", "--distill", "1", "--teacher",
                        str(place / "other"))), "other words")


def test_what_is_wrong_with_a_recovery_is_said_before_the_cut(place: Path) -> None:
    own = str(place / "own.jsonl")
    refused(run(*_cut(place, "--recover", "nothing.jsonl")), "no such file")
    refused(run(*_cut(place, "--recover", own, "--recover-tokens", "32")), "at least one batch")
    refused(run(*_cut(place, "--recover", own, "--rank", "0")), "rank 0")
    refused(run("prune", place / "model", "--recover", own), "--structured", "neurosparse adapt")
    (place / "small-recovered").mkdir()
    refused(run(*_cut(place, "--recover", own)), "small-recovered exists")
    assert not (place / "small").exists()
