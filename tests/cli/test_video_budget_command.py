"""``neurosparse video budget`` and what its file is for, on a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import files, refused, run
from video.saved_models import write_video_model
from video.video_files import write_video

import neurosparse as ns
from neurosparse.budgets import Budget, read_budgets
from neurosparse.errors import InputError
from neurosparse.pipeline import JoinedOptions, VideoOptions, token_budget_of
from neurosparse.pipeline.steps import weights_budget
from neurosparse.records import RunRecord


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video-budget")
    write_video_model(folder / "model")
    for name in "ab":
        write_video(folder / f"{name}.mp4", 12)
    lines = [{"video": f"{'ab'[i % 2]}.mp4", "question": f"what is w{i} ?", "answer": "AB"[i % 2],
              "options": ["w1", "w2"]} for i in range(4)]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    free = [{"video": "a.mp4", "question": "what is seen last ?"}]
    (folder / "free.jsonl").write_text("\n".join(map(json.dumps, free)) + "\n")
    return folder


def _budget(place: Path, out: Path, *more: Any, questions: str = "questions.jsonl") -> list[Any]:
    return ["video", "budget", place / questions, "--model", place / "model", "--frames", "4",
            "--scorer", "none", "--tokens", "8,32,64", "--sparsities", "0,0.5", "--calibration",
            "2", "--out", out, *more]


@pytest.fixture(scope="module")
def done(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("joined") / "out"
    found = run(*_budget(place, out, "--flops", "0.8"))
    assert found.code == 0, found.err
    assert "of the decoder's weights go" in found.out and "--token-budget" in found.out
    assert found.out.rstrip().endswith("budget.json --frames 4 --scorer none")
    return out


def test_what_it_leaves(done: Path, place: Path) -> None:
    assert files(done) == ["budget.json", "curves.json", "joined.png", "points", "run.json"]
    assert files(done / "points") == ["settings.json", "sparsity-0.5.npz", "sparsity-0.npz"]
    curves = json.loads((done / "curves.json").read_text())
    best = curves["choice"]["best"]
    assert best["cost"] <= 0.8 * curves["dense_flops"]
    # With all tokens the dense model is its own reference.
    assert curves["kl"]["mean"][-1][0] == pytest.approx(0, abs=1e-9)
    assert np.shape(curves["kl"]["answers"]) == (3, 2, 4)
    assert np.all(np.diff(np.array(curves["flops"]), axis=0) > 0)
    assert np.all(np.diff(np.array(curves["flops"]), axis=1) < 0)
    assert "right" in curves and curves["measured"]["damage"] >= 0
    weights, frames = read_budgets(done / "budget.json")
    assert weights_budget(done / "budget.json") == weights  # what prune takes of it
    assert (weights.kind, frames.kind) == ("sparsity", "tokens")
    assert weights.total.kept == pytest.approx(best["sparsity"])
    assert frames.total.kept == best["tokens"] == token_budget_of(str(done / "budget.json"))
    assert frames.rule.options["watch"]["scorer"] == "none"
    record = RunRecord.read(done / "run.json")
    assert record.results["best"]["of_dense"] <= 0.8
    assert record.data["questions"] == str(place / "questions.jsonl")


def test_from_a_dense_folder_to_a_pruned_answer(done: Path, place: Path, tmp_path: Path) -> None:
    pruned = tmp_path / "pruned"
    found = run("prune", place / "model", "--budget", done / "budget.json", "--questions",
                place / "questions.jsonl", "--values", "fp32", "--out", pruned)
    assert found.code == 0, found.err
    best = json.loads((done / "curves.json").read_text())["choice"]["best"]
    model = ns.pipeline.video_models.open_video_model(str(pruned)).model
    kept = [module.packed().values.numel() for name, module in model.named_modules()
            if hasattr(module, "packed")]
    size = sum(target.size for target in Budget.read(done / "budget.json", kind="sparsity").targets)
    assert not kept or sum(kept) == pytest.approx((1 - best["sparsity"]) * size, abs=1)
    answered = run("video", place / "a.mp4", "what is seen last ?", "--model", pruned,
                   "--token-budget", done / "budget.json", "--frames", "4", "--scorer", "none",
                   "--max-new-tokens", "2", "--out", tmp_path / "answer")
    assert answered.code == 0, answered.err
    facts = json.loads((tmp_path / "answer" / "answer.json").read_text())
    assert facts["token_budget"] == best["tokens"]


def test_the_pruned_model_is_the_one_that_was_measured(done: Path, place: Path, tmp_path: Path
                                                       ) -> None:
    """Same questions, same masks: the packed model's damage is the one that ``--check`` gave."""
    from neurosparse.measure.video_answers import answers, references
    from neurosparse.pipeline.video_calibration import Calibration

    pruned = tmp_path / "pruned"
    assert run("prune", place / "model", "--budget", done / "budget.json", "--questions",
               place / "questions.jsonl", "--values", "fp32", "--out", pruned).code == 0
    curves = json.loads((done / "curves.json").read_text())
    best = curves["choice"]["best"]
    watch = VideoOptions(model=str(place / "model"), token_budget=1, frames=4, scorer="none")
    dense = Calibration(JoinedOptions(watch, flops=1.0, tokens=(8, 32, 64)),
                        place / "questions.jsonl")
    said, _ = references(dense.watching, dense.asked)
    packed = ns.pipeline.video_models.open_video_model(str(pruned)).model
    found = answers(dense.watching.of(packed), dense.asked, said, [best["tokens"]])
    assert found.kl.mean() == pytest.approx(curves["measured"]["damage"], rel=1e-3, abs=1e-9)


def test_another_goal_from_the_same_points(done: Path, place: Path, tmp_path: Path) -> None:
    stamps = {file: file.stat().st_mtime_ns for file in (done / "points").glob("*.npz")}
    again = run(*_budget(place, done, "--flops", "0.8", "--resume", "--json"))
    assert again.code == 0, again.err
    assert stamps == {file: file.stat().st_mtime_ns for file in stamps}
    found = json.loads(again.out)
    assert found["best"]["of_dense"] <= 0.8
    refused(run(*_budget(place, done, "--flops", "0.8")), "an empty folder")
    refused(run(*_budget(place, done, "--flops", "0.8", "--resume", "--method", "magnitude")),
            "calibration")


@pytest.mark.slow
def test_seconds_and_damage_as_goals(place: Path, tmp_path: Path) -> None:
    found = run(*_budget(place, tmp_path / "s", "--seconds", "100", "--timed", "1", "--json",
                         "--no-check", questions="free.jsonl"))
    assert found.code == 0, found.err
    told = json.loads(found.out)
    assert told["unit"] == "seconds" and told["dense"] > 0 and told["measured"] is None
    # There is time for everything: nothing is taken.
    assert told["best"]["tokens"] == 64 and told["best"]["sparsity"] == 0
    curves = json.loads((tmp_path / "s" / "curves.json").read_text())
    assert np.shape(curves["seconds"]) == (3, 2) and np.min(curves["seconds"]) > 0
    assert "loss" not in curves and "right" not in curves
    least = run(*_budget(place, tmp_path / "d", "--damage-limit", "50", "--no-check", "--json",
                         questions="free.jsonl"))
    assert least.code == 0, least.err
    best = json.loads(least.out)["best"]
    assert (best["tokens"], best["sparsity"]) == (8, 0.5)  # all is allowed: the cheapest


@pytest.mark.parametrize(("more", "words"), [
    (("--tokens", "nan,40"), "tokens [nan, 40.0]"), (("--tokens", "8,inf"), "tokens [8.0, inf]"),
    (("--tokens", "10.7,40"), "tokens [10.7, 40.0]"), (("--tokens", "0,4"), "tokens [0.0, 4.0]"),
    (("--sparsities", "0,nan"), "sparsities [0.0, nan]"),
    (("--sparsities", "0,-0.5"), "sparsities [0.0, -0.5]"),
    (("--sparsities", "0,1"), "sparsities [0.0, 1.0]")])
def test_a_ladder_of_no_numbers_is_one_line(place: Path, tmp_path: Path, more: tuple[str, str],
                                            words: str) -> None:
    refused(run(*_budget(place, tmp_path / "out", "--flops", "0.5", *more)), words)
    assert not (tmp_path / "out").exists()
    watch = VideoOptions(model="m", token_budget=1)
    assert JoinedOptions(watch, flops=1.0, tokens=(8.0, 16)).tokens == (8, 16)


def test_answers_are_asked_for_before_anything_is_measured(place: Path, tmp_path: Path) -> None:
    command = _budget(place, tmp_path / "out", "--flops", "0.5", "--damage", "loss", "--model",
                      "no/where", questions="free.jsonl")
    refused(run(*command), "free.jsonl", "line 1")
    refused(run(*command, "--dry-run"), "free.jsonl", "line 1")


def test_points_of_another_model_or_clip_are_not_gone_on_with(place: Path, tmp_path: Path
                                                              ) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    for name in ("a.mp4", "questions.jsonl", "model"):
        copy = shutil.copytree if name == "model" else shutil.copy
        copy(place / name, tmp_path / name)
    lines = (tmp_path / "questions.jsonl").read_text().splitlines()
    (tmp_path / "questions.jsonl").write_text(lines[0])
    command = _budget(tmp_path, tmp_path / "out", "--flops", "0.9", "--no-check", "--tokens",
                      "8,64", "--calibration", "1")
    first = run(*command)
    assert first.code == 0, first.err
    assert run(*command, "--resume").code == 0
    write_video(tmp_path / "a.mp4", 11)
    refused(run(*command, "--resume"), "other clips than")
    shutil.copy(place / "a.mp4", tmp_path / "a.mp4")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    save_file({name: one + 0.01 for name, one in weights.items()},
              tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    refused(run(*command, "--resume"), "other weights than")


@pytest.mark.slow
def test_a_plan_and_bad_input(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = run(*_budget(place, out, "--flops", "0.5", "--dry-run"))
    assert plan.code == 0 and "4 questions about 2 videos" in plan.out and not out.exists()
    refused(run(*_budget(place, out, "--flops", "0.001")), "or more: 8 tokens at sparsity 0.5")
    assert (out / "curves.json").exists()  # what was measured stays
    refused(run(*_budget(place, tmp_path / "n")), "one above 0")
    refused(run(*_budget(place, tmp_path / "n", "--flops", "0.5", "--seconds", "1")), "one above 0")
    refused(run(*_budget(place, tmp_path / "n", "--flops", "0.5", "--damage", "loss",
                    questions="free.jsonl")), "line 1", "answer as texts")
    refused(run(*_budget(place, tmp_path / "m", "--flops", "0.5", "--sparsities", "0.1,0.5")),
            "the first is 0")
    refused(run(*_budget(place, tmp_path / "m", "--flops", "0.5", "--tokens", "a,b")),
            "levels 'a,b'")
    assert not (tmp_path / "m").exists() and not (tmp_path / "n").exists()
    (place / "none.jsonl").write_text("\n")
    refused(run(*_budget(place, tmp_path / "m", "--flops", "0.5", questions="none.jsonl")),
            "no record")
    (place / "gone.jsonl").write_text(json.dumps({"video": "gone.mp4", "question": "what ?"}))
    refused(run(*_budget(place, tmp_path / "m", "--flops", "0.5", questions="gone.jsonl")),
            "gone.mp4")
    refused(run("prune", place / "model", "--budget", "x", "--questions", "q", "--structured"),
            "one of them")
    with pytest.raises(InputError):
        token_budget_of("nowhere.json")
