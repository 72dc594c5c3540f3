"""Rules for comparison: adaptive key frames and diverse frames."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.video import adaptive_keyframes, diverse_frames


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.data())
def test_as_many_frames_as_asked_in_order(scores, data):
    count = data.draw(st.integers(1, len(scores)))
    found = adaptive_keyframes(scores, count)
    assert len(found) == count and np.all(np.diff(found) > 0)
    assert found[0] >= 0 and found[-1] < len(scores)


def test_a_peak_that_stands_out_takes_all_the_frames():
    scores = np.full(64, 0.1)
    scores[20:24] = 0.95
    assert adaptive_keyframes(scores, 4).tolist() == [20, 21, 22, 23]


def test_flat_scores_are_covered_evenly():
    found = adaptive_keyframes(np.full(64, 0.4), 8, depth=3)
    assert np.histogram(found, np.arange(0, 65, 8))[0].tolist() == [1] * 8


def test_threshold_zero_is_the_top_and_above_one_is_coverage():
    scores = np.random.default_rng(0).random(32)
    top = np.sort(np.argsort(-scores)[:4])
    assert adaptive_keyframes(scores, 4, threshold=0.0).tolist() == top.tolist()
    covered = adaptive_keyframes(scores, 4, threshold=1.1)
    best = [start + int(np.argmax(scores[start : start + 8])) for start in range(0, 32, 8)]
    assert covered.tolist() == best


def test_halving_by_hand():
    """The first half has a peak, the second none: one frame more cannot go to the peak."""
    scores = [0, 0, 1, 0, 0.2, 0.1, 0.0, 0.1]
    assert adaptive_keyframes(scores, 2, threshold=0.9).tolist() == [2, 4]


def test_nan_is_chosen_last():
    assert adaptive_keyframes([np.nan, 0.1, 0.2, np.nan], 2, depth=0).tolist() == [1, 2]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_diverse_frames_begin_with_the_best_and_stay_near_the_best_determinant(count):
    rng = np.random.default_rng(3)
    features, scores = rng.normal(size=(8, 4)), rng.random(8) + 0.1
    unit = scores[:, None] * features / np.linalg.norm(features, axis=1)[:, None]
    kernel = unit @ unit.T

    def volume(which):
        return np.linalg.det(kernel[np.ix_(which, which)])

    found = diverse_frames(scores, features, count)
    assert int(np.argmax(scores)) in found
    best = max(volume(list(c)) for c in itertools.combinations(range(8), count))
    assert volume(found.tolist()) >= 0.5 * best


def test_greedy_steps_are_those_of_determinants():
    rng = np.random.default_rng(5)
    features, scores = rng.normal(size=(12, 6)), rng.random(12) + 0.1
    unit = scores[:, None] * features / np.linalg.norm(features, axis=1)[:, None]
    kernel, chosen = unit @ unit.T, []
    for _ in range(5):
        rest = [i for i in range(12) if i not in chosen]
        chosen.append(max(rest, key=lambda i: np.linalg.det(
            kernel[np.ix_([*chosen, i], [*chosen, i])])))
    assert diverse_frames(scores, features, 5).tolist() == sorted(chosen)


def test_a_copy_is_passed_over_while_there_is_anything_else():
    features = np.array([[1.0, 0], [1, 0], [0, 1]])
    assert diverse_frames([0.9, 0.8, 0.3], features, 2).tolist() == [0, 2]
    assert diverse_frames([0.9, 0.8, 0.3], features, 3).tolist() == [0, 1, 2]
    assert diverse_frames([0.0, 0.0, 0.0], features, 2).tolist() == [0, 1]


def test_wrong_calls():
    for count in (0, 4):
        with pytest.raises(InputError, match="a count from 1"):
            adaptive_keyframes([1, 2, 3], count)
    with pytest.raises(InputError, match="features of shape"):
        diverse_frames([1, 2], np.ones((3, 2)), 1)
    with pytest.raises(InputError, match="scores >= 0"):
        diverse_frames([-1, 2], np.ones((2, 2)), 1)
