"""The whole line on a file, from Python."""

from __future__ import annotations

import numpy as np
import pytest
from video.tiny_video import CLASSES, noise, tiny_video_model
from video.video_files import number_of, write_video

from neurosparse.errors import BudgetError, FormatError, InputError, ModelError
from neurosparse.video import RESIZERS, Frames, ask, load_processor
from neurosparse.video.processor import VideoProcessor, chat

QUESTION = "what is seen last ?"


def planted(pictures, question):
    """Frames 12 to 17 of the clip matter."""
    return [1.0 if 12 <= number_of(p) <= 17 else 0.1 for p in pictures]


@pytest.mark.parametrize("name", list(CLASSES))
def test_a_file_is_answered_and_the_frames_that_matter_get_the_tokens(clip, name):
    model, processor = tiny_video_model(name)
    got = ask(model, processor, clip, QUESTION, token_budget=24, frames=10, scorer=planted,
              decoupling="off", max_new_tokens=4)
    tokens = got.assignment.tokens
    assert tokens.sum() == 24
    matter = [i for i, t in enumerate(got.times) if 1.1 < t < 1.8]
    others = [i for i in range(len(tokens)) if i not in matter]
    assert matter and min(tokens[matter]) > max(tokens[others])
    again = ask(model, processor, clip, QUESTION, token_budget=24, frames=10, scorer=planted,
                decoupling="off", max_new_tokens=4)
    assert again.text == got.text
    assert set(got.seconds) == {"decode", "decouple", "score", "encode", "resize", "answer"}


@pytest.mark.parametrize("resizer", RESIZERS)
def test_every_resizer(resizer):
    model, processor = tiny_video_model("smolvlm")
    frames = Frames(tuple(noise(4)), np.arange(4.0), 4.0)
    got = ask(model, processor, frames, QUESTION, token_budget=21, resizer=resizer,
              scorer=lambda p, q: [0.9, 0.5, 0.5, 0.1], decoupling="off")
    text = 21 if resizer in ("strided", "merge") else sum(
        g[0] * g[1] for g in got.assignment.grids if g)
    same = ask(model, processor, frames, QUESTION, token_budget=21, resizer="merge",
               scorer=lambda p, q: [0.9, 0.5, 0.5, 0.1], decoupling="off")
    assert same.sequence - got.sequence == 21 - text


def test_the_main_model_scores_and_decouples_itself():
    model, processor = tiny_video_model("llava-onevision")
    frames = Frames(tuple(noise(8)), np.arange(8.0), 8.0)
    got = ask(model, processor, frames, QUESTION, token_budget=40, options=["w1", "w2"])
    assert got.scores.readings.shape == (2, 8) and got.assignment.tokens.sum() == 40
    assert any("step 1" in note for note in got.notes)  # a random model makes no list
    assert got.assignment.options["trust"] == got.scores.trust
    loose = ask(model, processor, frames, QUESTION, token_budget=40, guard=False)
    assert loose.assignment.options["trust"] == 1.0


def test_a_users_list_is_what_frames_are_scored_for():
    model, processor = tiny_video_model("llava-onevision")
    frames = Frames(tuple(noise(2)), np.arange(2.0), 2.0)
    got = ask(model, processor, frames, QUESTION, token_budget=8, decoupling=["w1", "w2"])
    assert got.asked.entities == ("w1", "w2")


def test_scorer_without_an_answer_is_uniform_and_said():
    model, processor = tiny_video_model("llava-onevision")
    frames = Frames(tuple(noise(4)), np.arange(4.0), 4.0)
    got = ask(model, processor, frames, QUESTION, token_budget=16, decoupling="off",
              scorer=lambda p, q: [float("nan")] * 4)
    assert got.assignment.tokens.tolist() == [4] * 4
    assert got.notes == ("no score is finite: uniform",)


def test_one_frame_and_a_budget_above_what_it_holds(tmp_path):
    model, processor = tiny_video_model("qwen2-vl")
    path = write_video(tmp_path / "one.mp4", 1)
    got = ask(model, processor, path, QUESTION, token_budget=10_000, decoupling="off")
    assert got.assignment.grids == (tuple(got.assignment.grids[0]),)
    assert got.assignment.tokens.tolist() == got.assignment.caps.tolist()
    assert any("fewer than the 10000 asked" in note for note in got.notes)


def test_bad_input(tmp_path, clip):
    model, processor = tiny_video_model("llava-onevision")
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(FormatError, match=r"x\.mp4"):
        ask(model, processor, tmp_path / "x.mp4", QUESTION, token_budget=8)
    with pytest.raises(BudgetError, match="a budget of 0"):
        ask(model, processor, clip, QUESTION, token_budget=0, frames=2, decoupling="off")
    with pytest.raises(InputError, match="a question of 0 characters"):
        ask(model, processor, clip, " ".strip(), token_budget=8, frames=2)
    with pytest.raises(InputError, match="image_processor and tokenizer"):
        ask(model, processor.tokenizer, clip, QUESTION, token_budget=8)


def test_a_chat_template_is_used_and_must_hold_one_video():
    model, processor = tiny_video_model("qwen2-vl")
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
        "{% if c['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
        "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}<|im_start|>assistant")
    with_template = VideoProcessor(processor.image_processor, processor.tokenizer, template)
    text = chat(with_template, "<|video_pad|>", "what <|video_pad|> is")
    assert text == ("<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>"
                    "what < |video_pad|> is<|im_start|>assistant")
    frames = Frames(tuple(noise(4)), np.arange(4.0), 4.0)
    got = ask(model, with_template, frames, QUESTION, token_budget=8, decoupling="off")
    assert got.assignment.tokens.sum() == 8
    none = VideoProcessor(processor.image_processor, processor.tokenizer, "no place for it")
    with pytest.raises(ModelError, match="0 places for video"):
        ask(model, none, frames, QUESTION, token_budget=8, decoupling="off")


def test_a_processor_from_a_folder(tmp_path):
    model, processor = tiny_video_model("llava-onevision")
    processor.image_processor.save_pretrained(tmp_path)
    processor.tokenizer.save_pretrained(tmp_path)
    loaded = load_processor(tmp_path)
    frames = Frames(tuple(noise(3)), np.arange(3.0), 3.0)
    one, two = (ask(model, p, frames, QUESTION, token_budget=9, decoupling="off")
                for p in (processor, loaded))
    assert one.text == two.text
    np.testing.assert_array_equal(one.scores.readings, two.scores.readings)
    with pytest.raises(InputError, match="no such folder"):
        load_processor(tmp_path / "none")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(FormatError, match=r"preprocessor_config\.json"):
        load_processor(tmp_path)
