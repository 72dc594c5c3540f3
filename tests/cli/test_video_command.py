"""``neurosparse video`` on tiny models of the real classes and small files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import files, interrupted, refused, run
from video.saved_models import write_clip, write_video_model
from video.video_files import write_video

import neurosparse as ns
from neurosparse.budgets import Budget
from neurosparse.errors import InputError, ResumeError
from neurosparse.pipeline import VideoOptions, video_eval
from neurosparse.pipeline.video_questions import choice_of
from neurosparse.pipeline.video_step import thumbnail
from neurosparse.records import RunRecord

QUESTION = "what is seen last ?"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, a CLIP, and a clip of thirty frames in three seconds."""
    folder = tmp_path_factory.mktemp("video-command")
    write_video_model(folder / "model")
    write_video_model(folder / "qwen", "qwen2-vl")
    write_clip(folder / "clip")
    write_video(folder / "a.mp4", 30, size=(96, 64))
    write_video(folder / "b.mp4", 20)
    lines = [{"video": f"{'ab'[i % 2]}.mp4", "question": f"what is w{i} ?", "answer": "AB"[i % 2],
              "options": ["A. w1", "B. w2"], "group": "ab"[i % 2]} for i in range(6)]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


def _ask(place: Path, out: Path, *more: Any) -> list[Any]:
    return ["video", place / "a.mp4", QUESTION, "--model", place / "model", "--token-budget",
            "40", "--frames", "8", "--max-new-tokens", "4", "--out", out, *more]


def _eval(place: Path, out: Path, *more: Any) -> list[Any]:
    return ["video", "eval", place / "questions.jsonl", "--model", place / "model",
            "--token-budget", "24", "--frames", "6", "--max-new-tokens", "2", "--decoupling",
            "off", "--out", out, *more]


def test_an_answer_with_its_picture(place: Path, tmp_path: Path) -> None:
    done = run(*_ask(place, tmp_path / "out"))
    assert done.code == 0, done.err
    out = tmp_path / "out"
    assert files(out) == ["answer.json", "answer.png", "budget.json", "run.json"]
    facts = json.loads((out / "answer.json").read_text())
    assert done.out.splitlines()[0] == facts["answer"]
    assert "40 of 40 shown" in done.out and "no step 1" in done.out
    assert sum(facts["units"]["tokens"]) == 40 and len(facts["frames"]["scores"]) == 8
    budget = Budget.read(out / "budget.json")
    assert [one.value for one in budget.targets] == facts["units"]["tokens"]
    record = RunRecord.read(out / "run.json")
    assert record.command == "video" and record.results["tokens"] == 40
    assert (out / "answer.png").read_bytes().startswith(b"\x89PNG")
    # The same as from Python.
    from transformers import LlavaOnevisionForConditionalGeneration as Model

    model = Model.from_pretrained(place / "model")
    again = ns.video.ask(model, ns.video.load_processor(place / "model"), place / "a.mp4",
                         QUESTION, token_budget=40, frames=8, max_new_tokens=4)
    assert again.text == facts["answer"]
    np.testing.assert_array_equal(again.assignment.tokens, facts["units"]["tokens"])
    refused(run(*_ask(place, out)), "--overwrite")
    assert run(*_ask(place, out, "--overwrite")).code == 0


@pytest.mark.slow
def test_options_reach_the_steps(place: Path, tmp_path: Path) -> None:
    done = run(*_ask(place, tmp_path / "a", "--json", "--scorer", "none", "--option", "w1",
                     "--option", "w2", "--resizer", "merge"))
    assert done.code == 0, done.err
    facts = done.json
    assert facts["options"] == ["w1", "w2"] and facts["units"]["tokens"] == [5] * 8
    assert facts["frames"]["scores"] == [1.0] * 8 and facts["scorer"] == "none"
    other = run(*_ask(place, tmp_path / "b", "--json", "--scorer", place / "clip", "--rule",
                      "softmax", "--decoupling", "off"))
    assert other.code == 0, other.err
    scores = np.array(other.json["frames"]["scores"])
    assert other.json["scorer"].startswith("dual clip") and scores.max() == 1.0
    tokens = np.array(other.json["units"]["tokens"])
    assert tokens[scores.argmax()] == tokens.max() > tokens.min() == tokens[scores.argmin()]
    sharp = run(*_ask(place, tmp_path / "c", "--json", "--scorer", place / "clip", "--power",
                      "9", "--decoupling", "off"))
    assert (np.array(sharp.json["units"]["tokens"]) == 0).sum() > 0
    pairs = _ask(place, tmp_path / "d", "--json", "--scorer", place / "qwen", "--no-guard",
                 "--scorer-tokens", "4")
    third = run(*pairs)
    assert third.code == 0, third.err
    assert third.json["scorer"].startswith("asked qwen2-vl") and not third.json["guarded"]


@pytest.mark.slow
def test_cheap_scoring_and_a_second_wording(place: Path, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(*more: Any) -> dict[str, Any]:
        done = run(*_ask(place, tmp_path / "out", "--overwrite", "--json", "--decoupling", "off",
                         "--frames", "13", "--cache", tmp_path / "cache", *more))
        assert done.code == 0, done.err
        found: dict[str, Any] = done.json
        return found

    full, coarse = facts(), facts("--scoring", "coarse")
    assert full["frames"]["read"] is None
    read = coarse["frames"]["read"]
    assert {0, 4, 8, 12} <= set(read) and len(read) == 6
    scores = {name: np.array(one["frames"]["scores"])
              for name, one in (("full", full), ("coarse", coarse))}
    np.testing.assert_allclose(scores["coarse"][read], scores["full"][read], atol=2e-7)
    np.testing.assert_allclose(
        scores["coarse"], np.interp(range(13), read, scores["coarse"][read]), rtol=1e-12)
    assert np.abs(scores["coarse"] - scores["full"]).max() > 1e-6
    wide = facts("--scoring", "coarse", "--stride", "6")
    assert {0, 6, 12} <= set(wide["frames"]["read"]) != set(read)
    given: list[Any] = []
    whole = ns.pipeline.video_session.ask
    with monkeypatch.context() as patch:
        patch.setattr(ns.pipeline.video_session, "ask",
                      lambda *args, **how: given.append(how["enough"]) or whole(*args, **how))
        # The tiny model says yes to no frame, so that it goes on.
        early = facts("--scoring", "coarse", "--enough", "1")
    assert given == [1] and early["frames"] == coarse["frames"]
    second = facts("--paraphrase")
    assert second["scorer"] == full["scorer"] + " paraphrase"
    assert second["frames"]["scores"] != full["frames"]["scores"]
    assert facts("--paraphrase") | {"seconds": 0} == second | {"seconds": 0}  # from the cache
    assert facts()["frames"] == full["frames"]
    words = facts("--scorer", "words")
    assert words["scorer"].startswith("words llava-onevision") and words["trust"] == 1.0
    assert max(words["frames"]["scores"]) == 1.0


@pytest.mark.parametrize(("more", "words"), [
    (("--scoring", "none"), ("scoring 'none'", "coarse")),
    (("--scoring", "coarse", "--stride", "0"), ("stride 0",)),
    (("--enough", "2"), ("enough 2", "coarse scoring")),
    (("--paraphrase", "--scorer", "words"), ("a paraphrase for the scorer words",)),
    (("--paraphrase", "--scorer", "none"), ("a video model that is asked",)),
    (("--scorer", "words", "--scoring", "coarse", "--enough", "2"), ("a half of a cosine",)),
])
def test_wrong_scoring_is_one_line(place: Path, tmp_path: Path, more: tuple[str, ...],
                                   words: tuple[str, ...]) -> None:
    refused(run(*_ask(place, tmp_path / "out", *more)), *words)
    assert not (tmp_path / "out").exists()


def test_dry_run_reads_and_writes_nothing(place: Path, tmp_path: Path) -> None:
    done = run(*_ask(place, tmp_path / "out", "--dry-run"))
    assert done.code == 0 and "8 of 30 frames" in done.out and "Nothing was run" in done.out
    found = run(*_ask(place, tmp_path / "out", "--dry-run", "--json")).json
    from neurosparse.models import load_empty

    count = sum(p.numel() for p in load_empty(place / "model").parameters())
    assert found["parameters"] == pytest.approx(count, rel=0.2)
    asked = run(*_eval(place, tmp_path / "out", "--dry-run"))
    assert "6 questions about 2 videos, 0 of which" in asked.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("more", "words"), [
    (("--token-budget", "0"), ("a budget of 0",)),
    (("--decoupling", "maybe"), ("'maybe'", "entities")),
    (("--resizer", "cubic"), ("'cubic'", "bilinear")),
    (("--rule", "magic"), ("'magic'",)),
    (("--frames", "0"), ("frames 0",)),
    (("--power", "-1"), ("power",)),
    (("--power", "nan"), ("ask: found power nan",)),
    (("--option", "w1"), ("1 options", "2 to 26")),
    (("--option", "w1", "--option", "w1"), ("'w1' twice",)),
    (("--model", "no/where/at/all"), ("no such file or folder",)),
    (("--device", "toaster"), ("'toaster'",)),
])
def test_wrong_input_is_one_line(place: Path, tmp_path: Path, more: tuple[str, ...],
                                 words: tuple[str, ...]) -> None:
    refused(run(*_ask(place, tmp_path / "out", *more)), *words)
    assert not (tmp_path / "out").exists()


def test_wrong_files_are_one_line(place: Path, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video")
    command = _ask(place, tmp_path / "out")
    refused(run("video", tmp_path / "x.mp4", *command[2:]), "x.mp4")
    refused(run("video", tmp_path / "y.mp4", *command[2:]), "no such file")
    text = tmp_path / "text"
    from tiny import write_tiny

    write_tiny(text, blocks=1)
    refused(run(*_ask(place, tmp_path / "out", "--model", text)), "preprocessor_config.json")
    (place / "clip" / "preprocessor_config.json").rename(tmp_path / "kept.json")
    try:
        refused(run(*_ask(place, tmp_path / "out", "--scorer", place / "clip")),
                "preprocessor_config.json")
    finally:
        (tmp_path / "kept.json").rename(place / "clip" / "preprocessor_config.json")


def test_the_published_llava_video_is_converted_once(tmp_path: Path, place: Path) -> None:
    from video.test_llava_video import published

    published(tmp_path / "old")
    command = _ask(place, tmp_path / "out", "--decoupling", "off", "--model", tmp_path / "old")
    refused(run(*command), "--converted")
    # The tiny vision tower has narrower heads than the published one: converted beforehand.
    ns.video.convert_llava_video(tmp_path / "old", tmp_path / "new", vision_heads=2)
    done = run(*command, "--converted", tmp_path / "new", "--json")
    assert done.code == 0, done.err
    # A newline after every row that is shown.
    facts = done.json
    rows = sum(grid[0] for grid in facts["units"]["grids"] if grid)
    assert rows and facts["sequence"] > facts["shown"] + rows


def test_accuracy_and_its_error(place: Path, tmp_path: Path) -> None:
    done = run(*_eval(place, tmp_path / "out", "--json"))
    assert done.code == 0, done.err
    found = done.json
    head, *lines = map(json.loads, (tmp_path / "out" / "answers.jsonl").read_text().splitlines())
    assert head["settings"]["token_budget"] == 24 and len(lines) == 6
    for line in lines:
        choice = choice_of(line["answer"], ("w1", "w2"))
        assert line["correct"] == (choice is not None and "AB"[choice] == line["right"])
    share = np.mean([line["correct"] for line in lines])
    assert found["accuracy"] == share and found["chance"] == 0.5 and found["tokens"] == 24
    assert set(found["groups"]) == {"a", "b"} and found["groups"]["a"]["questions"] == 3
    refused(run(*_eval(place, tmp_path / "out")), "--resume")
    table = run(*_eval(place, tmp_path / "out", "--resume"))
    assert table.code == 0 and f"{share:.1%}" in table.out and "chance 50.0%" in table.out
    cheap = run(*_eval(place, tmp_path / "cheap", "--scoring", "coarse", "--stride", "3",
                       "--paraphrase", "--json"))
    assert cheap.code == 0, cheap.err
    head = json.loads((tmp_path / "cheap" / "answers.jsonl").read_text().splitlines()[0])
    assert head["settings"]["scoring"] == "coarse" and head["settings"]["paraphrase"]
    assert cheap.json["questions"] == 6
    few = run(*_eval(place, tmp_path / "few", "--limit", "2", "--seed", "1", "--json"))
    assert few.json["questions"] == 2


def test_cut_off_and_resumed(place: Path, tmp_path: Path) -> None:
    """Stopped between two questions, then half a line lost: it ends as an undisturbed run."""
    options = VideoOptions(model=str(place / "model"), token_budget=24, frames=6,
                           decoupling="off", max_new_tokens=2)
    questions, out = place / "questions.jsonl", tmp_path / "out"
    whole = video_eval(options, questions, out=tmp_path / "whole")

    def stop(label: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video_eval(options, questions, out=out, progress=stop)
    log = out / "answers.jsonl"
    before = log.read_text().splitlines()
    assert len(before) == 4
    log.write_text("\n".join(before) + '\n{"number": 5, "vid')  # the machine went down
    with pytest.raises(ResumeError, match=r"other options \(power\)"):
        video_eval(replace(options, power=3.0), questions, out=out, resume=True)
    for other in ({"scoring": "coarse"}, {"paraphrase": True}, {"stride": 5}):
        with pytest.raises(ResumeError, match=f"other options .*{next(iter(other))}"):
            video_eval(replace(options, **other), questions, out=out, resume=True)
    seen: list[int] = []
    done = video_eval(options, questions, out=out, resume=True,
                      progress=lambda label, at, of: seen.append(at))
    assert seen == [4, 5, 6]  # what was answered is not asked again
    assert log.read_text().splitlines()[:4] == before
    assert done["answers_sha256"] == whole["answers_sha256"]
    assert done["accuracy"] == whole["accuracy"]


@pytest.mark.slow
def test_ctrl_c(place: Path, tmp_path: Path) -> None:
    lines = (place / "questions.jsonl").read_text().splitlines()
    for name in "ab":
        (tmp_path / f"{name}.mp4").symlink_to(place / f"{name}.mp4")
    # So many that the run is not over before the signal comes.
    (tmp_path / "q.jsonl").write_text("\n".join(lines * 50))
    command = _eval(place, tmp_path / "out")
    command[2] = tmp_path / "q.jsonl"
    cut = interrupted(*command, after="questions\t2\t")
    assert cut.code == 130 and "--resume" in cut.err
    before = (tmp_path / "out" / "answers.jsonl").read_text().splitlines()
    assert 3 <= len(before) < 301
    done = run(*command, "--resume", "--json")
    assert done.code == 0 and done.json["questions"] == 300
    assert (tmp_path / "out" / "answers.jsonl").read_text().splitlines()[: len(before)] == before


def test_a_broken_video_is_noted_and_asked_again(place: Path, tmp_path: Path) -> None:
    lines = (place / "questions.jsonl").read_text().splitlines()[:2]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    write_video(tmp_path / "a.mp4", 6)
    (tmp_path / "b.mp4").write_bytes(b"broken")
    options = VideoOptions(model=str(place / "model"), token_budget=8, decoupling="off",
                           max_new_tokens=2)
    found = video_eval(options, tmp_path / "q.jsonl", out=tmp_path / "out")
    assert found["questions"] == 1 and found["failed"] == 1
    assert "b.mp4" in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()[-1]
    write_video(tmp_path / "b.mp4", 6)
    again = video_eval(options, tmp_path / "q.jsonl", out=tmp_path / "out", resume=True)
    assert again["questions"] == 2 and again["failed"] == 0
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).unlink()
    with pytest.raises(InputError, match="none could be answered"):
        video_eval(options, tmp_path / "q.jsonl", out=tmp_path / "none")


def test_thumbnails_are_means_of_blocks() -> None:
    rng = np.random.default_rng(0)
    big = rng.integers(0, 255, (480, 721, 3)).astype(np.uint8)
    small = thumbnail(big)
    assert small.shape == (120, 180, 3)
    np.testing.assert_array_equal(small[3, 5], big[12:16, 20:24].mean(axis=(0, 1)).round())
    tiny = big[:24, :32]
    np.testing.assert_array_equal(thumbnail(tiny), tiny)
    assert thumbnail(big[:1]).shape == (1, 181, 3)
