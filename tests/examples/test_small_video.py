"""The generated videos, and what a model is taught on them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "video"


@pytest.fixture(scope="module")
def videos() -> ModuleType:
    return _module("small_videos")


@pytest.fixture(scope="module")
def small(videos: ModuleType) -> ModuleType:
    return _module("small_model")


def _module(name: str) -> ModuleType:
    pytest.importorskip("av")
    sys.path.insert(0, str(FOLDER))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(FOLDER))


def _colour_pixels(videos: ModuleType, picture: np.ndarray, colour: str) -> int:
    return int((picture == np.array(videos.COLOURS[colour], np.uint8)).all(-1).sum())


@pytest.mark.parametrize("kind", ["colour", "shape", "count", "order"])
def test_the_answer_can_be_seen_in_the_frames_that_matter(videos: ModuleType, kind: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        one = videos.make(rng, 8, kind=kind)
        assert one.answer in one.options and len(set(one.options)) == len(one.options)
        matter = np.flatnonzero(one.matter)
        words = one.question.split()
        if kind == "colour":
            seen = [_colour_pixels(videos, one.pictures[at], one.answer) for at in matter]
            assert min(seen) >= 20
        elif kind == "count":
            colour, shape = words[-3], words[-2]
            seen = [_colour_pixels(videos, picture, colour) for picture in one.pictures]
            assert sum(n == videos.mask_of(shape).sum() for n in seen) == int(one.answer)
        elif kind == "shape":
            seen = _colour_pixels(videos, one.pictures[matter[0]], words[3])
            assert seen == videos.mask_of(one.answer).sum()
        else:
            first = {colour: min(at for at in matter
                                 if _colour_pixels(videos, one.pictures[at], colour) >= 20)
                     for colour in (words[6], words[8])}
            assert min(first, key=lambda colour: first[colour]) == one.answer


def test_what_is_held_out_is_never_in_training(videos: ModuleType) -> None:
    rng = np.random.default_rng(0)
    asked = [{(one.question, one.answer) for one in
              (videos.make(rng, 6, kind="count", held_out=part) for _ in range(60))}
             for part in (False, True)]
    questions = [{question for question, _ in some} for some in asked]
    assert questions[0] and questions[1] and not questions[0] & questions[1]
    # Places: the patch where a thing stands tells which part it is of.
    for part in (False, True):
        for _ in range(20):
            picture = videos.draw(rng, ("red", "square"), held_out=part)
            rows, columns = np.nonzero((picture == videos.COLOURS["red"]).all(-1))
            # The square's first pixel is one inside the thing.
            corner = (int(rows.min()) - 1) // 8, (int(columns.min()) - 1) // 8
            assert videos.is_held_out("red", "square", *corner) == part


def test_words_are_known_and_a_learnt_list_is_read(small: ModuleType, videos: ModuleType) -> None:
    from neurosparse.video.decouple import read_answer

    tokenizer = small.make_tokenizer()
    rng = np.random.default_rng(1)
    for kind in videos.KINDS:
        one = videos.make(rng, 6, kind=kind)
        example = small.list_example(one)
        said = tokenizer.decode(tokenizer(example.answer)["input_ids"])
        assert read_answer(said) == (one.entities, "")
        for text in (example.text, one.question, one.answer,
                     small.scoring_text(one, ("no", "yes"), decoupled=True)):
            assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_examples_say_what_is_true(small: ModuleType, videos: ModuleType) -> None:
    rng = np.random.default_rng(2)
    letters = set()
    for _ in range(40):
        one = videos.make(rng, 6)
        example = small.frame_example(one, rng)
        at = next(i for i, p in enumerate(one.pictures) if np.array_equal(p, example.pictures[0]))
        if example.answer in ("A", "B"):
            words = example.text.split(f"{example.answer}. ")[1].split("\n")[0]
            assert (words == "yes") == bool(one.matter[at])
            letters.add((example.answer, words))
        else:
            assert one.matter[at] and example.answer == one.answer
    assert len(letters) == 4  # both letters stand for both words


def test_a_batch_costs_what_its_examples_cost(small: ModuleType, videos: ModuleType) -> None:
    """Padding and resizing change nothing: answers of one length weigh the same."""
    import torch

    rng = np.random.default_rng(4)
    model, processor = small.make_model(small.Size(32, 1, 32, 1), seed=0)
    model.eval()
    batch = [small.video_example(videos.make(rng, 6), rng) for _ in range(3)]
    batch.append(small.frame_example(videos.make(rng, 6), rng))
    with torch.no_grad():
        whole = small.loss_of(model, processor, batch)
        alone = torch.stack([small.loss_of(model, processor, [one]) for one in batch])
    assert alone.std() > 1e-3
    torch.testing.assert_close(whole, alone.mean(), rtol=1e-4, atol=1e-5)
    small.loss_of(model, processor, batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0
               for name, p in model.named_parameters()
               if "vision_tower" in name and "layers.0" in name and "weight" in name
               and "norm" not in name)


@pytest.mark.slow
def test_training_makes_a_model_that_the_command_takes(tmp_path: Path) -> None:
    import json
    import os
    import subprocess

    def run(*words: str) -> str:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True,
                              timeout=600, check=False,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    out = tmp_path / "out"
    said = run(str(FOLDER / "train_small.py"), "--quick", "--out", str(out))
    assert "8 held-out questions" in said
    found = json.loads((out / "results.json").read_text())
    losses = found["losses"]
    assert len(losses) == 80 and np.mean(losses[30:40]) < 0.8 * np.mean(losses[:5])
    assert set(found["right"]) == {"even 48", "quota 48", "quota, not decoupled 48", "even 392"}
    told = json.loads(run("-m", "neurosparse", "video", "eval", str(out / "questions.jsonl"),
                          "--model", str(out / "model"), "--token-budget", "48", "--out",
                          str(tmp_path / "eval"), "--json", "--progress", "none"))
    assert told["questions"] == 8 and told["failed"] == 0
