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


@pytest.fixture(scope="module")
def lessons(small: ModuleType) -> ModuleType:
    return _module("small_lessons")


def _things(videos: ModuleType, picture: np.ndarray) -> set[tuple[str, str]]:
    """What stands in a picture, found by comparing its patches with all things."""
    found, size = set(), videos.THING
    masks = {shape: videos.mask_of(shape) for shape in videos.SHAPES}
    for row in range(0, videos.SIDE, size):
        for column in range(0, videos.SIDE, size):
            patch = picture[row : row + size, column : column + size]
            for colour, value in videos.COLOURS.items():
                same = (patch == np.array(value, np.uint8)).all(-1)
                found |= {(colour, shape) for shape, mask in masks.items()
                          if np.array_equal(same, mask)}
    return found


@pytest.mark.parametrize("held_out", [False, True])
def test_the_answers_can_be_seen_in_the_frames_that_matter(videos: ModuleType,
                                                          held_out: bool) -> None:
    rng = np.random.default_rng(3)
    for _ in range(6):
        scene = videos.make(rng, 10, held_out=held_out)
        seen = [_things(videos, picture) for picture in scene.pictures]
        by_kind = {one.kind: one for one in scene.asked}
        assert set(by_kind) == set(videos.KINDS)
        for one in scene.asked:
            assert one.answer in one.options and len(set(one.options)) == len(one.options)
        colour, shape, count, order = (by_kind[kind] for kind in videos.KINDS)
        shown = [{c for c, s in some if s == colour.entities[0]} for some in seen]
        assert [bool(some) for some in shown] == colour.matter.tolist()
        assert set.union(*shown) == {colour.answer}
        wanted = shape.entities[0].removesuffix(" thing")
        shown = [{s for c, s in some if c == wanted} for some in seen]
        assert [bool(some) for some in shown] == shape.matter.tolist()
        assert set.union(*shown) == {shape.answer}
        counted = count.entities[0].removesuffix(" thing")
        assert [any(counted in one for one in some) for some in seen] == count.matter.tolist()
        assert count.matter.sum() == int(count.answer)
        first = {one: [any(s == one for _, s in some) for some in seen].index(True)
                 for one in order.entities}
        assert min(first, key=lambda one: first[one]) == order.answer
        assert set(order.question.split()) >= set(order.entities)


def test_nothing_but_the_question_tells_which_frames_matter(videos: ModuleType) -> None:
    """Every frame holds as many things, as bright, whether it matters or not."""
    scene = videos.make(np.random.default_rng(5), 24)
    assert {len(_things(videos, picture)) for picture in scene.pictures} <= set(
        range(videos.THINGS - 4, videos.THINGS + 1))  # the same thing may stand twice
    bright = np.array([(picture > 180).any(-1).mean() for picture in scene.pictures])
    matter = scene.asked[0].matter
    assert abs(bright[matter].mean() - bright[~matter].mean()) < 3 * bright.std()


def test_what_is_held_out_is_never_in_training(videos: ModuleType) -> None:
    rng = np.random.default_rng(0)

    def questions(part: bool, scenes: int) -> set[tuple[str, ...]]:
        """A question with its options; counts by the question, orders by the pair."""
        found = set()
        for _ in range(scenes):
            for one in videos.make(rng, 4, held_out=part).asked:
                what = one.question if one.kind == "count" else " ".join(sorted(one.entities))
                found.add((one.kind, what, *(() if one.kind == "count" else sorted(one.options))))
        return found

    # Of the held-out part few: a scene of its four held-out questions is drawn a thousand times.
    training, asked = questions(False, 150), questions(True, 60)
    assert len(training) > 100 and len(asked) > 40 and not training & asked
    for thing in (("red", "square"), ("blue", "ring")):
        places = [videos.places_of(thing, held_out=part) for part in (False, True)]
        assert len(places[0]) == 20 and sorted([*places[0], *places[1]]) == list(range(25))
        for part in (False, True):
            _, where = videos.draw(rng, [[thing]] * 30, [], held_out=part)
            assert {place for some in where for place in some} <= set(places[part])


def test_words_are_known_and_a_learnt_list_is_read(small: ModuleType, videos: ModuleType,
                                                  lessons: ModuleType) -> None:
    from neurosparse.video.ask import with_options
    from neurosparse.video.decouple import prompt_for, read_answer

    tokenizer = small.make_tokenizer()
    rng = np.random.default_rng(1)
    for _ in range(10):
        scene = videos.make(rng, 6)
        for one in scene.asked:
            for text in (prompt_for(one.question, options=one.options),
                         with_options(one.question, one.options),
                         one.question, one.answer,
                         small.scoring_text(one, ("no", "yes"), decoupled=True),
                         small.scoring_text(one, ("no", "yes"), decoupled=False)):
                assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text
        ((prompt, answer, _),) = lessons.list_lesson(scene, rng).turns
        said = tokenizer.decode(tokenizer(answer)["input_ids"])
        assert (read_answer(said), prompt) in [
            ((one.entities, ""), prompt_for(one.question, options=options))
            for one in scene.asked for options in ((), one.options)]


def test_lessons_say_what_is_true(videos: ModuleType, lessons: ModuleType) -> None:
    rng = np.random.default_rng(2)
    letters = set()
    for _ in range(12):
        scene = videos.make(rng, 6)
        for lesson in lessons.frame_lessons(scene, rng, 4, letters=True):
            at = next(i for i, p in enumerate(scene.pictures)
                      if np.array_equal(p, lesson.pictures[0]))
            # Every question is asked; those of colour and shape again where they are answered.
            assert len(lesson.turns) == 4 + sum(one.matter[at] for one in scene.asked[:2])
            for text, answer, known in lesson.turns:
                if answer not in ("A", "B"):
                    assert any(one.matter[at] and (text, answer) == (one.question, one.answer)
                               for one in scene.asked)
                    continue
                word = text.split(f"{answer}. ")[1].split("\n")[0]
                one = next(one for one in scene.asked if one.question in text or all(
                    f'"{entity}"' in text for entity in one.entities))
                assert (word == "yes") == bool(one.matter[at]) and known == word
                letters.add((answer, word))
        for lesson in lessons.lookup_lessons(rng, 4):
            seen = _things(videos, lesson.pictures[0])
            for text, answer, _ in lesson.turns:
                words = text.split()
                if answer in ("yes", "no"):
                    thing = words[-2:]
                    there = any({"a", "something", *one} >= set(thing) for one in seen)
                    assert there == (answer == "yes"), text
                else:
                    assert {answer, words[-1]} in [set(one) for one in seen]
        for text, answer, _ in lessons.letter_lesson(scene, rng).turns:
            told = text.split()[-1] if text.split()[-1] in ("yes", "no") else \
                text.split("?")[1].split()[0]
            assert f"{answer}. {told}" in text
    assert len(letters) == 4  # both letters stand for both words


@pytest.mark.parametrize("resizer", ["bilinear", "merge", "frames", "scattered"])
def test_a_view_shows_its_budget(lessons: ModuleType, resizer: str) -> None:
    import torch

    grids = torch.randn(6, 5, 5, 4)
    rows = lessons.View(60, np.array([1.0, 0.2, 0.2, 0.2, 0.2, 0.9]), resizer).rows(grids)
    shown = sum(one.shape[:-1].numel() for one in rows)
    assert 50 <= shown <= 60 and (shown == 60 or resizer in ("bilinear", "frames"))


def test_questions_that_share_a_video_are_learnt_as_if_alone(
        small: ModuleType, videos: ModuleType, lessons: ModuleType) -> None:
    """The packed loss is that of the model's own forward on each question's own prompt."""
    import torch

    from neurosparse.video import family_of
    from neurosparse.video.families import Shown

    rng = np.random.default_rng(4)
    model, processor = small.make_model(small.Size(32, 1, 32, 4), seed=0)
    model.eval()
    batch = [lessons.video_lesson(videos.make(rng, 6), rng, 40),
             *lessons.frame_lessons(videos.make(rng, 6), rng, 1, letters=True),
             lessons.list_lesson(videos.make(rng, 6), rng)]
    family, embedding = family_of(model), model.get_input_embeddings()
    costs, early = [], []
    with torch.no_grad():
        loss, right = lessons.loss_of(model, processor, batch)
        for lesson in batch:
            for text, answer, word in lesson.turns:
                ids = [*processor.tokenizer(answer)["input_ids"], processor.tokenizer.eos_token_id]
                if lesson.view is None:
                    from neurosparse.video.processor import chat, ids_of

                    embeds = embedding(ids_of(processor, chat(processor, "", text)))
                else:
                    grids = family.encode(model, processor, list(lesson.pictures)).grids
                    rows = torch.cat([r.reshape(-1, 32) for r in lesson.view.rows(grids)])
                    embeds = family.prompt(model, processor, text, Shown(
                        [rows], [0], [0.0], 1, 1.0, 1.0)).embeds
                whole = torch.cat([embeds, embedding(torch.tensor([ids[:-1]], dtype=torch.long))],
                                  dim=1)
                out = model(inputs_embeds=whole, output_hidden_states=True)
                known = processor.tokenizer(word)["input_ids"]
                first = whole.shape[1] - len(ids)
                for hidden, wanted, into in (
                        (out.hidden_states[-1], ids, costs),
                        (model.model.language_model.norm(out.hidden_states[3]), known, early)):
                    logs = model.lm_head(hidden[0, first : first + len(wanted)]).log_softmax(-1)
                    into += (-logs[torch.arange(len(wanted)), wanted]).tolist()
        want = np.mean(costs) + 0.5 * np.mean(early)
    assert float(loss) == pytest.approx(want, rel=1e-4)
    assert [len(some) for some in right] == [len(lesson.turns) for lesson in batch]


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
    assert {name: len(some) for name, some in losses.items()} == {
        "patches": 40, "few": 20, "frames": 6, "videos": 6, "lists": 4}
    assert np.mean(losses["patches"][30:]) < 0.8 * np.mean(losses["patches"][:5])
    assert set(found["right"]) == {"even 50", "quota 50", "even 200"}
    told = json.loads(run("-m", "neurosparse", "video", "eval", str(out / "questions.jsonl"),
                          "--model", str(out / "model"), "--token-budget", "50", "--out",
                          str(tmp_path / "eval"), "--json", "--progress", "none"))
    assert told["questions"] == 8 and told["failed"] == 0
