"""``neurosparse adapt`` from the shell to a packed model."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from cli_runner import Done, interrupted_here, linked, refused, run, write_records
from tiny import tiny_model, tiny_text, write_tiny

import neurosparse as ns
from neurosparse.pipeline import AdaptOptions

STEP = importlib.import_module("neurosparse.pipeline.adapt_step")  # the package has its function


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a text that no test changes."""
    folder = tmp_path_factory.mktemp("adapt")
    write_tiny(folder / "model", blocks=2)
    write_records(folder / "own.jsonl", tiny_text(6000))
    return folder


@pytest.fixture
def place(shared: Path, tmp_path: Path) -> Path:
    """A folder of the test's own, with links to what is shared."""
    return linked(shared, tmp_path, "model", "own.jsonl")


def _command(place: Path, *more: str) -> list[str]:
    return ["adapt", str(place / "model"), "--sparsity", "0.7", "--steps", "2", "--data",
            str(place / "own.jsonl"), "--window-length", "32", "--windows", "8", "--rank", "4",
            "--out", str(place / "out"), "--values", "fp32", *more]


@pytest.fixture(scope="module")
def whole(shared: Path) -> Done:
    """One undisturbed run; what it wrote lies in ``shared / "out"``."""
    return run(*_command(shared, "--json"))


def test_ends_in_a_packed_model(whole: Done, shared: Path) -> None:
    assert whole.code == 0, whole.err
    found = whole.json
    assert abs(found["sparsity"] - 0.7) < 1e-4 and len(found["steps"]) == 2
    out = shared / "out"
    assert {path.name for path in out.iterdir()} == {
        "model", "run.json", "steps.json", "losses.jsonl", "adaptation.png"}
    model = ns.sparse.load(out / "model")
    kept = sum(module.nnz for module in model.modules() if hasattr(module, "nnz"))
    total = sum(m.rows * m.cols for m in model.modules() if hasattr(m, "nnz"))
    assert abs(1 - kept / total - 0.7) < 1e-4
    lines = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    assert [one["step"] for one in lines] == list(range(1, len(lines) + 1))
    again = run(*_command(shared))
    refused(again, "--overwrite")


def test_table_and_dry_run(place: Path) -> None:
    dry = run(*_command(place, "--dry-run"))
    assert dry.code == 0 and "Nothing was run" in dry.out
    assert not (place / "out").exists()
    done = run(*_command(place, "--update", "values", "--rule", "propagation", "--distill", "1"))
    assert done.code == 0, done.err
    assert "not learnt from" in done.out and "70.00%" in done.out


def test_products_are_as_asked_and_said(place: Path, whole: Done) -> None:
    fast = ns.models.products_of(ns.models.load(place / "model").model, "auto")
    assert whole.json["products"] == str(fast or "float32")
    done = run(*_command(place, "--json", "--products", "own"))
    assert done.code == 0 and done.json["products"] == "float32"
    refused(run(*_command(place, "--products", "slow")), "auto or own")


def test_learning_takes_the_products_of_the_run(place: Path, monkeypatch: pytest.MonkeyPatch
                                                ) -> None:
    seen = []

    def watched(model: object, data: object, **options: object) -> None:
        seen.append((options["dtype"], options["train"].dtype))  # type: ignore[attr-defined]
        raise InterruptedError

    monkeypatch.setattr(STEP, "losa", watched)
    monkeypatch.setattr(STEP, "products_of", lambda model, products: torch.bfloat16)
    losa = ns.adaptation.LosaOptions(sparsity=0.7, steps=1, windows=8)
    options = AdaptOptions(str(place / "model"), losa, out=str(place / "out"),
                           data=str(place / "own.jsonl"), window_length=32)
    with pytest.raises(InterruptedError):
        STEP.adapt_step(options)
    assert seen == [(torch.bfloat16, torch.bfloat16)]


def test_interrupted_and_resumed(place: Path, whole: Done) -> None:
    """Ctrl-C in the middle of learning; the resumed run ends as an undisturbed one."""
    cut = interrupted_here(*_command(place), after="learn at 61")
    assert cut.code == 130 and "--resume" in cut.err
    refused(run(*_command(place)), "unfinished work", "--resume")
    done = run(*_command(place, "--resume", "--json"))
    assert done.code == 0, done.err
    assert done.json["adapted"] == whole.json["adapted"]
    logged = [json.loads(line) for line in (place / "out" / "losses.jsonl").open()]
    assert [one["step"] for one in logged] == list(range(1, len(logged) + 1))
    assert [round(one["loss"], 5) for one in logged] == [
        loss for step in whole.json["steps"] for loss in step["losses"]]
    assert run(*_command(place, "--resume", "--json")).json == done.json  # finished before
    refused(run(*_command(place, "--resume", "--learning-rate", "0.0123")), "learning_rate",
            "finished run")
    assert not (place / "out" / ".work").exists()


@pytest.mark.slow
def test_the_paper_by_one_word(place: Path) -> None:
    done = run(*_command(place, "--recipe", "losa", "--json"))
    assert done.code == 0, done.err
    options = json.loads((place / "out" / "run.json").read_text())["arguments"]
    found = [options[name] for name in ("rule", "refit", "ranks")]
    assert found == ["representation", None, "error"]


@pytest.mark.slow
def test_stores_groups(place: Path) -> None:
    done = run(*_command(place, "--steps", "1", "--values", "int8", "--group", "32", "--json"))
    assert done.code == 0, done.err
    model = ns.sparse.load(place / "out" / "model")
    packed = [m.packed() for m in model.modules() if isinstance(m, ns.sparse.SparseLinear)]
    assert packed and all(one.kind.name == "int8" and one.has_groups(32) for one in packed)


@pytest.mark.parametrize(("more", "said"), [
    (("--rule", "uniform", "--ranks", "damage"), "rule 'propagation'"),
    (("--recipe", "bread"), "propagation or losa"),
    (("--distill", "2"), "distill 2.0; expected a share in [0, 1]"),
    (("--learning-rate", "0"), "learning_rate 0.0; expected a number > 0"),
    (("--learning-rate", "inf"), "learning_rate inf"),
    (("--steps", "0"), "steps 0"),
    (("--dropout", "1.5"), "dropout 1.5"),
    (("--tokens", "0"), "tokens 0"),
    (("--report-windows", "0"), "report_windows 0"),
    (("--windows", "0"), "windows"),
    (("--data", "nothing.jsonl"), "no such file"),
    (("--sparsity", "1.5"), "sparsity"),
    (("--group", "64"), "values int8 or int4"),
    (("--values", "int4", "--group", "48"), "32, 64, 128, 256"),
    (("--steps", "200"), "at least one batch a step"),
])
def test_bad_input(place: Path, more: tuple[str, ...], said: str) -> None:
    refused(run(*_command(place, *more)), said)


def test_one_window_is_too_little(place: Path) -> None:
    (place / "own.jsonl").unlink()
    (place / "own.jsonl").write_text('{"text": "' + "w1 " * 40 + '"}\n')
    refused(run(*_command(place, "--dry-run")), "one window", "--report-text")


def test_records_without_text_are_refused(place: Path) -> None:
    (place / "own.jsonl").unlink()
    (place / "own.jsonl").write_text('{"number": 3}\n')
    refused(run(*_command(place)), "without a text field")


def test_packed_models_are_refused_with_a_way(place: Path) -> None:
    ns.sparse.save(tiny_model(), place / "packed")
    command = _command(place)
    command[1] = str(place / "packed")
    refused(run(*command), "packed", "MaskedLoraConfig", "Without --sparsity")
