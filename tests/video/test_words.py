"""Features against words: the best cosine, of the features that the answer is made from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from video.tiny_video import CLASSES, VOCABULARY, noise, tiny_video_model

from neurosparse.errors import InputError
from neurosparse.video import (
    AskedScorer,
    Decoupled,
    Features,
    FeatureScorer,
    Frames,
    FunctionScorer,
    WordScorer,
    ask,
    encode_frames,
    family_of,
    score_coarse_to_fine,
    score_frames,
)

ASKED = Decoupled("what is seen last ?", entities=("w1 w2", "? w3"))


@pytest.mark.parametrize("name", list(CLASSES))
def test_the_best_cosine_of_any_row_with_any_word(name):
    model, processor = tiny_video_model(name)
    family, pictures = family_of(model), noise(3, seed=2)
    found = WordScorer(model, processor).read(pictures, ASKED)
    words = model.get_input_embeddings().weight[[VOCABULARY[w] for w in ("w1", "w2", "w3")]]
    for at, picture in enumerate(pictures):
        grid = family.encode(model, processor, [picture] * family.unit_frames(model)).grids[0]
        rows = grid.flatten(0, 1)
        if name == "llava-next-video":
            rows = model.model.multi_modal_projector(rows)
        near = functional.cosine_similarity(rows[:, None], words[None], dim=-1)
        assert found[0, at] == pytest.approx(float(near.max()), abs=1e-6)
    scores = score_frames(pictures, ASKED, WordScorer(model, processor))
    assert scores.scores.min() == 0 and scores.scores.max() == 1 and scores.trust == 1.0
    assert scores.scorer.startswith(f"words {family.name}")


def test_a_word_that_a_frame_shows_is_found():
    model, processor = tiny_video_model("llava-onevision")
    family, pictures = family_of(model), noise(6, seed=3)
    grids = encode_frames(family, model, processor, pictures).grids.clone()
    grids[4, 2, 1] = model.get_input_embeddings().weight[VOCABULARY["w7"]]
    scorer = WordScorer(model, processor)
    for asked in (Decoupled("is w7 seen"), Decoupled("q", entities=("w9", "w7"))):
        readings = scorer.read_features(Features(grids), asked)
        assert readings.argmax() == 4 and readings.max() == pytest.approx(1.0, abs=1e-6)
    # Signs are no words, unless there is nothing else.
    assert scorer._words(Decoupled("?")).tolist() == [VOCABULARY["?"]]


@pytest.mark.parametrize("kind", [AskedScorer, WordScorer])
def test_frames_are_encoded_once_for_scoring_and_answering(kind):
    model, processor = tiny_video_model("llava-onevision")
    calls: list[int] = []
    model.model.vision_tower.register_forward_pre_hook(
        lambda module, args: calls.append(len(args[0])))
    frames = Frames(tuple(noise(5)), np.arange(5.0), 5.0)
    scorer = kind(model, processor)
    assert isinstance(scorer, FeatureScorer)
    got = ask(model, processor, frames, "what is seen last ?", token_budget=20, scorer=scorer,
              decoupling="off", batch=2)
    assert calls == [2, 2, 1]
    assert set(got.seconds) == {"decode", "decouple", "score", "encode", "resize", "answer"}
    assert set(got.processor_seconds) == set(got.seconds)
    alone = score_frames(frames.pictures, "what is seen last ?", scorer, batch=2)
    np.testing.assert_array_equal(alone.readings, got.scores.readings)
    # Another model's features, and pairs of frames, are of no use.
    other, its = tiny_video_model("llava-next-video")
    assert not scorer.reads_features(other, family_of(other))
    pairs, halves = tiny_video_model("qwen2-vl")
    assert not kind(pairs, halves).reads_features(pairs, family_of(pairs))
    crossed = ask(other, its, frames, "what is seen last ?", token_budget=20, scorer=scorer,
                  decoupling="off")
    np.testing.assert_allclose(crossed.scores.readings, alone.readings, atol=1e-6)


def test_features_in_coarse_scoring_and_of_wrong_frames():
    model, processor = tiny_video_model("llava-onevision")
    pictures, scorer = noise(9, seed=1), AskedScorer(model, processor)
    features = encode_frames(family_of(model), model, processor, pictures)
    found, read = score_coarse_to_fine(pictures, ASKED, scorer, stride=4, most=6,
                                       features=features)
    plain, same = score_coarse_to_fine(pictures, ASKED, scorer, stride=4, most=6)
    assert read.tolist() == same.tolist() and len(read) == 6
    np.testing.assert_allclose(found.readings, plain.readings, atol=1e-6)
    with pytest.raises(InputError, match="features of 9 units"):
        score_frames(pictures[:3], ASKED, scorer, features=features)
    with pytest.raises(InputError, match="a scorer that reads features"):
        score_frames(pictures, ASKED, FunctionScorer(lambda p, q: np.ones(len(p)), "one"),
                     features=features)


def test_a_model_in_half_precision():
    model, processor = tiny_video_model("llava-onevision")
    pictures = noise(4, seed=9)
    want = WordScorer(model, processor).read(pictures, ASKED)
    found = WordScorer(model.to(torch.bfloat16), processor).read(pictures, ASKED)
    np.testing.assert_allclose(found, want, atol=0.05)
