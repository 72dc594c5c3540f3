"""Scoring every few frames first: what is read, what is found, what is left on a line."""

from __future__ import annotations

import numpy as np
import pytest
from video.tiny_video import noise, tiny_video_model

from neurosparse.errors import InputError
from neurosparse.video import AskedScorer, FunctionScorer, score_coarse_to_fine, score_frames


def numbered(count: int) -> list[np.ndarray]:
    return [np.full((2, 2, 3), at, np.uint8) for at in range(count)]


def planted(scores: np.ndarray) -> tuple[FunctionScorer, list[int]]:
    asked: list[int] = []

    def function(pictures, question: str) -> np.ndarray:
        places = [int(picture[0, 0, 0]) for picture in pictures]
        asked.extend(places)
        return scores[places]

    return FunctionScorer(function, "planted"), asked


def test_a_stretch_that_stands_out_is_read_and_the_rest_is_not() -> None:
    scores = np.full(40, 0.1)
    scores[17:23] = 0.9
    scorer, asked = planted(scores)
    found, read = score_coarse_to_fine(numbered(40), "which", scorer, stride=5, most=20)
    assert sorted(asked) == read.tolist() and len(asked) == len(set(asked)) <= 20
    assert set(range(16, 25)) <= set(asked)
    np.testing.assert_allclose(found.scores[17:23], 0.9)
    assert found.scores[[1, 2, 33, 38]].tolist() == pytest.approx([0.1] * 4)


def test_it_stops_when_enough_was_found() -> None:
    scores = np.full(40, 0.1)
    scores[17:23] = scores[33:36] = 0.9
    scorer, asked = planted(scores)
    score_coarse_to_fine(numbered(40), "which", scorer, stride=5, most=40, enough=4)
    assert len(asked) <= 9 + 4


def test_a_stride_of_one_is_the_whole() -> None:
    model, processor = tiny_video_model("llava-onevision")
    pictures, scorer = noise(6), AskedScorer(model, processor)
    found, read = score_coarse_to_fine(pictures, "what is seen last ?", scorer, stride=1)
    whole = score_frames(pictures, "what is seen last ?", scorer)
    np.testing.assert_array_equal(found.scores, whole.scores)
    assert read.tolist() == list(range(6)) and found.trust == whole.trust


def test_what_lies_between_is_on_the_line_and_tells_nothing_of_the_scorer() -> None:
    model, processor = tiny_video_model("llava-onevision")
    pictures, scorer = noise(13), AskedScorer(model, processor)
    found, read = score_coarse_to_fine(pictures, "what is seen last ?", scorer, stride=3, most=5)
    assert read.tolist() == [0, 3, 6, 9, 12]
    np.testing.assert_allclose(found.scores[1],
                               (2 * found.scores[0] + found.scores[3]) / 3, rtol=1e-12)
    alone = score_frames([pictures[at] for at in read], "what is seen last ?", scorer)
    assert found.trust == alone.trust
    with pytest.raises(InputError, match="a half of a cosine"):
        score_coarse_to_fine(pictures, "what", FunctionScorer(
            lambda some, question: np.ones(len(some)), "one", scaled=False), enough=2)
    for bad in ({"stride": 0}, {"most": 0}, {"enough": 0}):
        with pytest.raises(InputError, match="1 or more"):
            score_coarse_to_fine(pictures, "what", scorer, **bad)


def test_stretches_are_read_in_batches_unless_it_may_stop() -> None:
    scores = np.full(41, 0.1)
    scores[17:23] = 0.9
    calls: list[int] = []

    def function(pictures, question: str) -> np.ndarray:
        calls.append(len(pictures))
        return scores[[int(picture[0, 0, 0]) for picture in pictures]]

    scorer = FunctionScorer(function, "planted")
    _, together = score_coarse_to_fine(numbered(41), "which", scorer, stride=5, most=33, batch=16)
    assert calls == [9, 16, 8]
    calls.clear()
    _, apart = score_coarse_to_fine(numbered(41), "which", scorer, stride=5, most=33, enough=40)
    assert calls == [9, 4, 4, 4, 4, 4, 4] and together.tolist() == apart.tolist()


def test_the_cache_tells_coarse_from_full_and_one_wording_from_two(tmp_path) -> None:
    """All share one folder, and each finds what it would have read itself."""
    model, processor = tiny_video_model("llava-onevision")
    pictures, words = noise(12, seed=4), "what is seen last ?"
    scorers = [AskedScorer(model, processor), AskedScorer(model, processor, paraphrase=True)]
    plain = [(score_frames(pictures, words, one).readings,
              score_coarse_to_fine(pictures, words, one)[0].readings) for one in scorers]
    for _ in range(2):
        for one, (full, coarse) in zip(scorers, plain, strict=True):
            np.testing.assert_array_equal(
                score_frames(pictures, words, one, cache=tmp_path).readings, full)
            np.testing.assert_array_equal(
                score_coarse_to_fine(pictures, words, one, cache=tmp_path)[0].readings, coarse)
        count = len(list(tmp_path.glob("*.json")))
    assert count == 2 * 3  # full, the first pass, the stretches
    assert not np.array_equal(*plain[0])
