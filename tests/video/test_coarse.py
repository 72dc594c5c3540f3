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
    for bad in ({"stride": 0}, {"most": 0}, {"enough": 0}):
        with pytest.raises(InputError, match="1 or more"):
            score_coarse_to_fine(pictures, "what", scorer, **bad)
