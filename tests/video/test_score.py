"""Scorers: both orders, padding, no answer, towers, functions, and the cache."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers as hf
from video.tiny_video import CLASSES, VOCABULARY, noise, tiny_tokenizer, tiny_video_model

from neurosparse.errors import FormatError, InputError, ModelError
from neurosparse.video import (
    AskedScorer,
    Decoupled,
    DualScorer,
    FunctionScorer,
    VideoProcessor,
    score_frames,
)
from neurosparse.video.scorers.digest import weights_digest
from neurosparse.video.scorers.padding import pad_prompts

QUESTION = Decoupled("what is seen last ?")


def probability(model, processor, adapter, picture, order, letter, words=None):
    """P(letter) without a batch, by the adapter's own prompt."""
    scorer = AskedScorer(model, processor)
    features = adapter.encode(model, processor, [picture] * adapter.unit_frames(model))
    shown = scorer._shown(features)[0]
    words = words or QUESTION.scoring_question()
    prompt = adapter.prompt(model, processor, scorer._question(words, order), shown)
    logits = adapter.forward(model, prompt).logits[0, -1].double()
    return float(torch.softmax(logits, -1)[VOCABULARY[letter]])


@pytest.mark.parametrize("name", list(CLASSES))
@pytest.mark.parametrize("padding", ["left", "right"])
def test_readings_of_a_batch_are_those_of_each_frame_alone(name, padding):
    model, processor = tiny_video_model(name)
    scorer = AskedScorer(model, processor, padding=padding)
    pictures = noise(3, seed=7)
    readings = scorer.read(pictures, QUESTION)
    assert readings.shape == (2, 3)
    for i, picture in enumerate(pictures):
        for row, order in enumerate((("yes", "no"), ("no", "yes"))):
            a, b = (probability(model, processor, scorer._family, picture, order, letter)
                    for letter in "AB")
            want = a / (a + b) if row == 0 else b / (a + b)
            assert readings[row, i] == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("asked", [QUESTION, Decoupled(QUESTION.question, ("w1", "w2"))])
def test_a_paraphrase_adds_two_readings(asked):
    model, processor = tiny_video_model("llava-onevision")
    scorer, pictures = AskedScorer(model, processor, paraphrase=True), noise(5, seed=3)
    readings = scorer.read(pictures, asked)
    assert readings.shape == (4, 5) and scorer.name != AskedScorer(model, processor).name
    np.testing.assert_allclose(readings[:2], AskedScorer(model, processor).read(pictures, asked),
                               rtol=1e-5)
    words = asked.paraphrase()
    assert words != asked.scoring_question() and '"what is seen last ?"' in words
    a, b = (probability(model, processor, scorer._family, pictures[2], ("no", "yes"), letter,
                        words) for letter in "AB")
    assert readings[3, 2] == pytest.approx(b / (a + b), abs=1e-6)


def test_a_scorer_may_look_closer_than_the_model():
    """More tokens than the model's own grid, up to what the vision part gives."""
    model, processor = tiny_video_model("llava-onevision")
    pictures = noise(1, seed=2)
    adapter = AskedScorer(model, processor)._family
    features = adapter.encode(model, processor, pictures)
    full = features.grids.shape[1] * features.grids.shape[2]
    counts = [AskedScorer(model, processor, tokens=tokens)._shown(features)[0].counts()[0]
              for tokens in (None, full, 1)]
    assert counts[0] < counts[1] == full and counts[2] == 1


@pytest.mark.parametrize("name", ["llava-onevision", "qwen2-vl", "qwen3-vl"])
def test_both_sides_of_padding_give_the_same_for_different_lengths(name):
    model, processor = tiny_video_model(name)
    scorer = AskedScorer(model, processor)
    family = scorer._family
    pictures = [p for p in noise(2, seed=1) for _ in range(family.unit_frames(model))]
    shown = scorer._shown(family.encode(model, processor, pictures))
    prompts = [family.prompt(model, processor, question, one) for question, one in
               zip(["what is", "what is seen last w1 w2 w3 w4"], shown, strict=True)]
    assert len({len(p) for p in prompts}) == 2
    alone = [family.forward(model, p).logits[0, -1] for p in prompts]
    for side in ("left", "right"):
        whole, mask, last = pad_prompts(prompts, side)
        logits = family.forward(model, whole, attention_mask=mask).logits
        assert mask.sum(1).tolist() == [len(p) for p in prompts]
        for row, want in enumerate(alone):
            torch.testing.assert_close(logits[row, last[row]], want, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="side='middle'"):
        pad_prompts(prompts, "middle")  # type: ignore[arg-type]


def test_a_liking_for_one_letter_cancels():
    model, processor = tiny_video_model("llava-onevision")
    with torch.no_grad():
        head = model.lm_head
        model.lm_head = torch.nn.Linear(head.in_features, head.out_features)
        model.lm_head.weight.copy_(head.weight)
        model.lm_head.bias.zero_()
        model.lm_head.bias[VOCABULARY["A"]] = 6.0
    found = score_frames(noise(6), QUESTION, AskedScorer(model, processor))
    assert found.readings[0].min() > 0.9 and found.readings[1].max() < 0.1
    np.testing.assert_allclose(found.scores, 0.5, atol=0.05)


def test_no_answer_is_not_a_number():
    model, processor = tiny_video_model("llava-onevision")
    found = score_frames(noise(5), QUESTION, AskedScorer(model, processor, least_mass=0.9))
    assert np.isnan(found.scores).all() and found.trust == 0.0


def test_fewer_tokens_are_cheaper():
    model, processor = tiny_video_model("llava-onevision")
    seen = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"].shape[1]),
        with_kwargs=True)
    AskedScorer(model, processor).read(noise(1), QUESTION)
    AskedScorer(model, processor, tokens=4).read(noise(1), QUESTION)
    assert seen[0] - seen[1] == 16 - 4


def test_a_tokenizer_without_the_letters_is_refused():
    from tokenizers import Tokenizer, models

    model, processor = tiny_video_model("llava-onevision")
    core = Tokenizer(models.WordLevel({"<unk>": 0, "<video>": 5}, unk_token="<unk>"))
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    with pytest.raises(ModelError, match="no token for 'A'"):
        AskedScorer(model, VideoProcessor(processor.image_processor, tokenizer))


def _towers(kind):
    torch.manual_seed(1)
    text = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2, "vocab_size": len(VOCABULARY),
            "max_position_embeddings": 12}
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
              "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    size = {"height": 16, "width": 16}
    if kind == "clip":
        config = hf.CLIPConfig(text_config={**text, "eos_token_id": 2}, vision_config=vision,
                               projection_dim=8)
        return (hf.CLIPModel(config).eval(),
                hf.CLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False))
    config = hf.SiglipConfig(text_config=text, vision_config=vision)
    return hf.SiglipModel(config).eval(), hf.SiglipImageProcessorPil(size=size)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_towers_against_the_models_own_logits(kind):
    model, images = _towers(kind)
    tokenizer = tiny_tokenizer()
    pictures = noise(4, size=(16, 16))
    asked = Decoupled("q", entities=("w1 w2", "w3"))
    scorer = DualScorer(model, images, tokenizer)
    got = scorer.read(pictures, asked)[0]
    text = tokenizer(["w1 w2", "w3"], return_tensors="pt", max_length=12, truncation=True,
                     padding="max_length" if kind == "siglip" else True)
    if kind == "siglip":
        text = {"input_ids": text["input_ids"]}
    else:
        text.pop("token_type_ids", None)
    pixels = images(images=pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits = model(**text, pixel_values=pixels).logits_per_image
        want = logits.sigmoid() if kind == "siglip" else logits / model.logit_scale.exp()
    want = want.amax(1)
    np.testing.assert_allclose(got, want.numpy(), atol=2e-6)
    assert scorer.scaled == (kind == "siglip")
    scores = score_frames(pictures, asked, scorer).scores
    if kind == "clip":
        assert scores.min() == 0 and scores.max() == 1
    # A question longer than the text tower's context is cut.
    assert np.isfinite(scorer.read(pictures, Decoupled("w1 " * 50))).all()


def test_a_function_scores():
    pictures = noise(5)
    seen = []

    def bright(some, question):
        seen.append((len(some), question))
        return [float(p.mean()) for p in some]

    found = score_frames(pictures, "q", bright, batch=2)
    assert seen == [(2, "q"), (2, "q"), (1, "q")]
    np.testing.assert_allclose(found.scores, [p.mean() for p in pictures])
    assert found.trust == 1.0
    scaled = score_frames(pictures, "q", FunctionScorer(bright, "b", scaled=False)).scores
    assert scaled.min() == 0 and scaled.max() == 1
    with pytest.raises(InputError, match="one number a frame"):
        score_frames(pictures, "q", lambda some, question: [1.0])
    with pytest.raises(InputError, match="scorer=3"):
        score_frames(pictures, "q", 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0 frames"):
        score_frames([], "q", bright)


def test_the_cache(tmp_path):
    pictures, calls = noise(4), []

    def scorer(name):
        def function(some, question):
            calls.append(name)
            return [np.nan if i == 1 else 0.1 * i for i in range(len(some))]

        return FunctionScorer(function, name)

    def run(*, frames=pictures, question="q", name="one"):
        return score_frames(frames, question, scorer(name), cache=tmp_path)

    first, again = run(), run()
    assert calls == ["one"]
    np.testing.assert_array_equal(first.readings, again.readings)
    run(question="another"), run(name="two"), run(frames=noise(4, seed=9))
    assert calls == ["one", "one", "two", "one"]
    files = sorted(tmp_path.glob("*.json"))
    assert len(files) == 4
    assert all(json.loads(f.read_text())["format"] == "neurosparse.video.scores" for f in files)
    for file in files:
        file.write_text(file.read_text().replace('"readings": [', '"readings": [7, '))
    with pytest.raises(FormatError, match="damaged file of scores"):
        run()


def test_models_of_one_shape_and_other_weights_are_told_apart():
    one, two = (torch.nn.Linear(30, 30) for _ in range(2))
    assert weights_digest(one) != weights_digest(two)
    two.load_state_dict(one.state_dict())
    assert weights_digest(one) == weights_digest(two)
