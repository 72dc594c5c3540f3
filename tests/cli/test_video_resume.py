"""What ``video eval`` goes on with, what it leaves alone, and places that are no folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import refused, run
from PIL import Image
from safetensors.torch import load_file, save_file
from video.saved_models import write_clip, write_video_model
from video.video_files import write_video

from neurosparse.errors import FormatError, ResumeError, StorageError
from neurosparse.pipeline import VideoOptions, video_eval
from neurosparse.pipeline.video_identity import clip_digest
from neurosparse.video import ask
from neurosparse.video.families.qwen_vl import paired_patches
from neurosparse.video.processor import load_processor


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_video_model(tmp_path / "model")
    lines = []
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", 6)
        lines.append({"video": f"{name}.mp4", "question": "what ?", "options": ["w1", "w2"],
                      "answer": "A"})
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def _options(place: Path, **more: Any) -> VideoOptions:
    return VideoOptions(**{"model": str(place / "model"), "token_budget": 8, "frames": 2,
                           "decoupling": "off", "max_new_tokens": 1, "scorer": "none", **more})


def _change(folder: Path) -> None:
    file = folder / "model.safetensors"
    save_file({name: one + 0.01 if one.is_floating_point() else one
               for name, one in load_file(file).items()}, file, metadata={"format": "pt"})


@pytest.mark.parametrize("limit", [1, None])
def test_answers_of_other_weights_are_not_gone_on_with(place: Path, limit: int | None) -> None:
    video_eval(_options(place), place / "q.jsonl", out=place / "out", limit=limit)
    before = (place / "out" / "answers.jsonl").read_bytes()
    _change(place / "model")
    with pytest.raises(ResumeError, match="of other weights;"):
        video_eval(_options(place), place / "q.jsonl", out=place / "out", resume=True)
    assert (place / "out" / "answers.jsonl").read_bytes() == before


def test_answers_by_another_scorer_are_not_gone_on_with(place: Path) -> None:
    write_clip(place / "clip")
    how = _options(place, scorer=str(place / "clip"))
    video_eval(how, place / "q.jsonl", out=place / "out", limit=1)
    _change(place / "clip")
    with pytest.raises(ResumeError, match="of other scorer;"):
        video_eval(how, place / "q.jsonl", out=place / "out", resume=True)


def test_answers_about_other_clips_are_not_gone_on_with(place: Path) -> None:
    video_eval(_options(place), place / "q.jsonl", out=place / "out")
    write_video(place / "b.mp4", 5)
    with pytest.raises(ResumeError, match=r"of other clip b\.mp4;"):
        video_eval(_options(place), place / "q.jsonl", out=place / "out", resume=True)
    (place / "b.mp4").unlink()  # a clip that is gone is no other clip
    found = video_eval(_options(place), place / "q.jsonl", out=place / "out", resume=True)
    assert found["questions"] == 2


def test_a_digest_of_a_large_clip_is_of_its_size_and_of_parts(tmp_path: Path) -> None:
    path, large = tmp_path / "large", 1 << 25
    seen = set()
    for size, at in ((large, None), (large + 1, None), (large, 0), (large, large - 1)):
        data = np.zeros(size, np.uint8)
        if at is not None:
            data[at] = 1
        path.write_bytes(data.tobytes())
        seen.add(clip_digest(path))
    assert len(seen) == 4 and clip_digest(tmp_path / "none") is None


def test_a_mistyped_model_costs_no_answers(place: Path) -> None:
    out = place / "out"
    command = ["video", "eval", place / "q.jsonl", "--token-budget", "8", "--frames", "2",
               "--decoupling", "off", "--max-new-tokens", "1", "--scorer", "none", "--out", out]
    refused(run(*command, "--model", "no/where/at/all"), "no such file")
    assert not out.exists()
    assert run(*command, "--model", place / "model").code == 0  # not refused
    before = (out / "answers.jsonl").read_bytes()
    refused(run(*command, "--model", "no/where/at/all", "--overwrite"), "no such file")
    # The model is there, and cannot do what is asked of it.
    write_video_model(place / "qwen", "qwen2-vl")
    wrong = run(*command, "--model", place / "qwen", "--resizer", "merge", "--overwrite")
    refused(wrong, "none could be answered")
    assert (out / "answers.jsonl").read_bytes() == before
    assert run(*command, "--model", place / "model", "--overwrite").code == 0


@pytest.mark.parametrize("what", ["ask", "eval", "budget"])
def test_a_file_in_place_of_a_folder_is_said_first(place: Path, what: str) -> None:
    file = place / "file"
    file.write_text("kept")
    subject = {"ask": ["video", place / "a.mp4", "what ?", "--token-budget", "8"],
               "eval": ["video", "eval", place / "q.jsonl", "--token-budget", "8"],
               "budget": ["video", "budget", place / "q.jsonl", "--flops", "0.5"]}[what]
    for out in (file, file / "below"):
        refused(run(*subject, "--model", "no/where", "--out", out), f"the file {file}", "--out")
    refused(run(*subject, "--model", "no/where", "--out", place / "out", "--cache", file),
            f"the file {file}", "--cache")
    assert file.read_text() == "kept" and not (place / "out").exists()


def test_a_cache_is_a_folder_from_python_too(place: Path) -> None:
    from video.tiny_video import tiny_video_model

    model, parts = tiny_video_model("llava-onevision")
    with pytest.raises(StorageError, match=r"the file .*q\.jsonl.* --cache"):
        ask(model, parts, place / "a.mp4", "what ?", token_budget=8, frames=2, decoupling="off",
            cache=place / "q.jsonl")


@pytest.mark.parametrize("family", ["qwen2-vl", "qwen3-vl"])
def test_a_thin_picture_is_left_out_and_counted(place: Path, family: str) -> None:
    write_video_model(place / "qwen", family)
    Image.new("RGB", (804, 4)).save(place / "b.png")
    text = (place / "q.jsonl").read_text().replace("b.mp4", "b.png")
    (place / "q.jsonl").write_text(text)
    found = video_eval(_options(place, model=str(place / "qwen")), place / "q.jsonl",
                       out=place / "out")
    assert found["failed"] == 1 and found["questions"] == 1
    parts = load_processor(place / "qwen")
    paired_patches(parts, [np.zeros((4, 800, 3), np.uint8)], 2)  # the thinnest there is
    with pytest.raises(FormatError, match="4 x 804 pixels"):
        paired_patches(parts, [np.zeros((804, 4, 3), np.uint8)], 2)
