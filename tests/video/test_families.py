"""Adapters against the unmodified models: tokens, positions and logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from video.tiny_video import CLASSES, SPECIAL, VOCABULARY, noise, tiny_video_model
from video.unmodified import FPS, inputs_of

from neurosparse.errors import InputError, ModelError
from neurosparse.video import (
    Frames,
    assign_tokens,
    encode_frames,
    family_of,
    generate,
    show,
)
from neurosparse.video.families.family import Family, Features, flat
from neurosparse.video.families.mrope import block_positions
from neurosparse.video.families.qwen_vl import paired_patches
from neurosparse.video.families.smolvlm import in_words
from neurosparse.video.processor import as_images
from neurosparse.video.units import full_grid, unit_times

QUESTION = "what is seen last ?"
NAMES = list(CLASSES)


def shown_of(name, model, processor, frames, tokens=None, scores=None, method=None, family=None):
    """All units at the default grid, or a budget shared by scores."""
    adapter = family_of(model, family)
    together = adapter.unit_frames(model)
    features = encode_frames(adapter, model, processor, frames)
    grid = adapter.default_grid(model, full_grid(features))
    units = len(features.grids)
    budget = units * grid[0] * grid[1] if tokens is None else tokens
    given = assign_tokens(np.ones(units) if scores is None else scores, budget,
                          full=full_grid(features) if tokens is None else grid)
    times = unit_times(np.arange(len(frames)) / FPS, together)
    method = method or ("average" if name == "llava-next-video" else "bilinear")
    return adapter, show(features, given, times, len(frames) / FPS, method), given


@pytest.mark.parametrize("frames", [4, 5])
@pytest.mark.parametrize("name", NAMES)
def test_default_grid_and_equal_scores_are_the_unmodified_model(name, frames):
    model, processor = tiny_video_model(name)
    pictures = noise(frames)
    inputs = inputs_of(name, model, processor, pictures, QUESTION)
    adapter, shown, _ = shown_of(name, model, processor, pictures)
    prompt = adapter.prompt(model, processor, QUESTION, shown)
    assert len(prompt) == inputs["input_ids"].shape[1]
    want = model(**inputs).logits
    got = adapter.forward(model, prompt).logits
    assert torch.equal(got, want), float((got - want).abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_greedy_answer_is_that_of_generate(name):
    model, processor = tiny_video_model(name)
    pictures = noise(4, seed=3)
    inputs = inputs_of(name, model, processor, pictures, QUESTION)
    want = model.generate(**inputs, max_new_tokens=6, do_sample=False, pad_token_id=0)
    new = want[0, inputs["input_ids"].shape[1]:].tolist()
    new = new[: new.index(2)] if 2 in new else new
    adapter, shown, _ = shown_of(name, model, processor, pictures)
    prompt = adapter.prompt(model, processor, QUESTION, shown)
    got = generate(adapter, model, processor, prompt, max_new_tokens=6)
    assert got == processor.tokenizer.decode(new, skip_special_tokens=True).strip()


@pytest.mark.parametrize("name", NAMES)
def test_new_tokens_stand_where_generate_puts_them(name):
    """M-RoPE goes on from the greatest position of the prompt, which is not its length."""
    model, processor = tiny_video_model(name)
    pictures = noise(4, seed=3)
    inputs = inputs_of(name, model, processor, pictures, QUESTION)
    adapter, shown, _ = shown_of(name, model, processor, pictures)
    prompt = adapter.prompt(model, processor, QUESTION, shown)
    decoder = model.model.text_model if name == "smolvlm" else model.model.language_model
    seen: list[list[int]] = [[], []]

    def note(run):
        def hook(module, args, kwargs):
            seen[run].append(int(kwargs["position_ids"].reshape(-1)[-1]))

        return decoder.register_forward_pre_hook(hook, with_kwargs=True)

    # Nothing ends the answer, so that both runs make as many tokens.
    model.generation_config.eos_token_id = None
    processor.tokenizer.eos_token = None
    handle = note(0)
    model.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0)
    handle.remove()
    handle = note(1)
    generate(adapter, model, processor, prompt, max_new_tokens=4)
    handle.remove()
    assert seen[0] == seen[1] and len(seen[1]) == 4
    assert (seen[1][0] == len(prompt) - 1) == (not name.startswith("qwen"))


@pytest.mark.parametrize("name", NAMES)
def test_uneven_budget_gives_as_many_places_as_rows(name):
    model, processor = tiny_video_model(name)
    adapter, shown, given = shown_of(
        name, model, processor, noise(6), tokens=13,
        scores=[0.9, 0.1, 0.4] if name.startswith("qwen") else [0.9, 0.1, 0.4, 0.0, 0.4, 0.2])
    assert given.tokens.sum() == 13
    assert len(set(map(tuple, shown.grids("")))) > 1  # really uneven
    prompt = adapter.prompt(model, processor, QUESTION, shown)
    rows = sum(h * w for h, w in shown.grids(""))
    newline = 1 if name == "llava-onevision" else 0
    assert int(prompt.places.sum()) == rows + newline
    assert torch.isfinite(adapter.forward(model, prompt).logits).all()


@pytest.mark.parametrize("name", ["smolvlm", "qwen3-vl", "internvl"])
def test_dropped_frame_goes_with_its_time_stamp(name):
    model, processor = tiny_video_model(name)
    scores = [0.9, 0.0, 0.4] if name == "qwen3-vl" else [0.9, 0.0, 0.4, 0.4]
    frames = noise(2 * len(scores) if name == "qwen3-vl" else len(scores))
    adapter, shown, given = shown_of(name, model, processor, frames, tokens=12, scores=scores)
    assert given.tokens[1] == 0 and list(shown.units)[:2] == [0, 2]
    text, rows = adapter.place(model, processor, shown)
    stamps = {"smolvlm": ["three frames", "from 00:00:", "from 00:01:"],
              "internvl": ["Frame1:", "Frame3:"],
              "qwen3-vl": ["<0.2 seconds>", "<2.2 seconds>"]}[name]
    gone = {"smolvlm": "four frames", "internvl": "Frame2:", "qwen3-vl": "<1.2 seconds>"}[name]
    assert all(stamp in text for stamp in stamps) and gone not in text
    marks = {"smolvlm": "Frame from", "internvl": "<img>", "qwen3-vl": "<|vision_start|>"}[name]
    assert text.count(marks) == np.count_nonzero(given.tokens)
    assert len(rows) == sum(h * w for h, w in shown.grids(""))


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl"])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (3, 2), (3, 4)])
def test_positions_of_a_resized_unit_are_those_of_a_video_with_that_grid(name, grid):
    model, processor = tiny_video_model(name)
    adapter = family_of(model)
    features = encode_frames(adapter, model, processor, noise(2))
    given = assign_tokens([1.0], grid[0] * grid[1], full=grid)
    shown = show(features, given, unit_times(np.arange(2) / FPS, 2), 1.0)
    prompt = adapter.prompt(model, processor, QUESTION, shown)
    pictures = noise(2, size=(8 * grid[0], 8 * grid[1]))
    inputs = inputs_of(name, model, processor, pictures, QUESTION)
    want, _ = model.model.get_rope_index(
        inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"],
        video_grid_thw=inputs["video_grid_thw"])
    assert inputs["video_grid_thw"].tolist() == [[1, 2 * grid[0], 2 * grid[1]]]
    assert torch.equal(prompt.positions, want)


def test_positions_of_a_block_with_different_grids():
    got = block_positions([(1, 2), (2, 1)], [0, 4], 10)
    assert got.tolist() == [[10, 10, 14, 14], [10, 10, 10, 11], [10, 11, 10, 10]]


def test_a_dropped_unit_keeps_its_place_in_time():
    model, processor = tiny_video_model("qwen2-vl")
    adapter, shown, given = shown_of("qwen2-vl", model, processor, noise(6), tokens=8,
                                     scores=[0.5, 0.0, 0.5])
    assert given.tokens.tolist() == [4, 0, 4]
    prompt = adapter.prompt(model, processor, QUESTION, shown)
    time = prompt.positions[0, 0][prompt.places[0]]
    assert (time - time[0]).tolist() == [0] * 4 + [2] * 4


def test_paired_patches_are_those_of_a_video():
    """Against the layout of transformers' video processor, written out here."""
    processor = tiny_video_model("qwen2-vl")[1]
    pictures = noise(4)
    ours, grid = paired_patches(processor, pictures, 2)
    images = processor.image_processor
    x = np.stack(pictures).astype(np.float32).transpose(0, 3, 1, 2) / 255
    x = (x - np.array(images.image_mean, np.float32)[:, None, None]) / np.array(
        images.image_std, np.float32)[:, None, None]
    units, high, wide = grid[0].tolist()
    x = x.reshape(units, 2, 3, high // 2, 2, 4, wide // 2, 2, 4)
    want = x.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(units * high * wide, -1)
    assert [units, high, wide] == [2, 6, 8]
    np.testing.assert_allclose(ours.numpy(), want, atol=2e-6)


def test_llava_video_ends_each_row_with_a_newline():
    """The paper's count: 64 frames of 14 x 14 are 12544 tokens and 13440 with newlines."""
    model, processor = tiny_video_model("llava-onevision")
    adapter, shown, _ = shown_of("llava-video", model, processor, noise(3), tokens=30,
                                 scores=[0.8, 0.4, 0.4], family="llava-video")
    text, rows = adapter.place(model, processor, shown)
    grids = shown.grids("")
    assert len(rows) == sum(h * (w + 1) for h, w in grids) == text.count("<video>")
    newline = model.model.image_newline
    at = 0
    for one, (h, w) in zip(shown.rows, grids, strict=True):
        block = rows[at : at + h * (w + 1)].view(h, w + 1, -1)
        assert torch.equal(block[:, :w], one) and bool((block[:, w] == newline).all())
        at += h * (w + 1)
    assert sum(14 * 15 for _ in range(64)) == 13440
    assert "0.00s,0.50s" in adapter.introduction(shown)


def test_special_tokens_in_the_question_stay_text():
    model, processor = tiny_video_model("llava-onevision")
    adapter, shown, _ = shown_of("llava-onevision", model, processor, noise(2))
    plain = adapter.prompt(model, processor, "what is", shown)
    for attack in SPECIAL[4:]:
        prompt = adapter.prompt(model, processor, f"what {attack} is", shown)
        assert torch.equal(prompt.places.sum(), plain.places.sum())
        ids = processor.tokenizer(f"x {attack[0]} {attack[1:]}")["input_ids"]
        assert VOCABULARY[attack] not in ids


def test_a_question_longer_than_the_context_is_refused():
    model, processor = tiny_video_model("llava-onevision")
    adapter, shown, _ = shown_of("llava-onevision", model, processor, noise(2))
    with pytest.raises(InputError, match="4096, the model's context"):
        adapter.prompt(model, processor, "w1 " * 4096, shown)


def test_rows_without_a_grid_are_refused_where_positions_need_one():
    model, processor = tiny_video_model("qwen2-vl")
    adapter, shown, _ = shown_of("qwen2-vl", model, processor, noise(4), tokens=10,
                                 method="merge")
    with pytest.raises(InputError, match="rectangles"):
        adapter.prompt(model, processor, QUESTION, shown)


def test_an_unknown_model_or_family_is_refused():
    with pytest.raises(ModelError, match="Give an adapter of your own"):
        family_of(torch.nn.Linear(1, 1))
    with pytest.raises(ModelError, match="llava-video"):
        family_of(None, "nonsense")


class Own(Family):
    """A user's adapter, for the OneVision classes without their newline."""

    name = "own"

    def encode(self, model, processor, pictures):
        pixels = processor.image_processor(images=as_images(pictures), return_tensors="pt",
                                           size={"height": 28, "width": 28})["pixel_values"]
        seen = model.model.multi_modal_projector(model.model.vision_tower(pixels)[0])
        return Features(seen.view(len(pictures), 7, 7, -1))

    def place(self, model, processor, shown):
        rows = flat(shown.rows)
        return "<video>" * len(rows), rows


def test_an_adapter_of_the_user():
    from neurosparse.video import ask

    model, processor = tiny_video_model("llava-onevision")
    frames = Frames(tuple(noise(3)), np.arange(3.0), 3.0)
    got = ask(model, processor, frames, QUESTION, token_budget=12, family=Own(),
              scorer=lambda pictures, question: [0.1] * len(pictures), decoupling="off")
    assert got.assignment.tokens.tolist() == [4, 4, 4]
    assert got.sequence == 12 + len(processor.tokenizer(QUESTION)["input_ids"])


@pytest.mark.parametrize(("number", "words"), [
    (1, "one"), (16, "sixteen"), (64, "sixty-four"), (100, "one hundred"),
    (128, "one hundred and twenty-eight"), (1001, "one thousand and one"),
    (1280, "one thousand, two hundred and eighty"),
])
def test_numbers_in_words(number, words):
    assert in_words(number) == words
