"""Planted scorers: closed forms against simulation and against the allocation itself."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse.errors import InputError
from neurosparse.video import assign_tokens, break_even, planted_accuracy

T, B = 12, 24.0


def linear(tokens: np.ndarray) -> np.ndarray:
    return np.minimum(tokens / 40, 1.0)


def concave(tokens: np.ndarray) -> np.ndarray:
    return 1 - np.exp(-tokens / 3)


@pytest.mark.parametrize("ratio", [0.0, 0.2])
def test_the_closed_form_is_the_mean_over_scorers(ratio: float) -> None:
    rng, hit, alarm, n = np.random.default_rng(0), 0.7, 0.25, 40_000
    flags = rng.random((n, T)) < np.where(np.arange(T) == 0, hit, alarm)
    weights = np.where(flags, 1.0, ratio)
    weights[weights.sum(axis=1) == 0] = 1.0
    tokens = np.minimum(B * weights[:, 0] / weights.sum(axis=1), 15.0)
    right = concave(tokens)
    want = planted_accuracy(hit, alarm, B, concave, frames=T, ratio=ratio, cap=15.0)
    assert want == pytest.approx(right.mean(), abs=5 * right.std() / np.sqrt(n))


def test_the_shares_are_those_that_are_assigned() -> None:
    """One flagged frame among others, scores 0.9 and 0.3, power 2: a ratio of one ninth."""
    budget, scores = 2400, np.where(np.arange(T) == 4, 0.9, 0.3)
    given = assign_tokens(scores, budget, full=(60, 60)).tokens[4]
    # No false alarm and always a hit: the reader gets exactly these tokens.
    got = planted_accuracy(1.0, 0.0, budget, lambda n: n, frames=T, ratio=1 / 9)
    assert got == pytest.approx(given, abs=1)


@pytest.mark.parametrize("reader", [linear, concave])
@pytest.mark.parametrize("alarm", [0.05, 0.3])
def test_at_the_break_even_nothing_is_won(reader, alarm: float) -> None:
    for ratio in (0.0, 0.1):
        at = break_even(alarm, B, reader, frames=T, ratio=ratio)
        even = float(reader(np.array([B / T]))[0])
        assert planted_accuracy(at, alarm, B, reader, frames=T, ratio=ratio) == pytest.approx(even)
        better = planted_accuracy(at + 0.05, alarm, B, reader, frames=T, ratio=ratio)
        assert better > even


def test_a_concave_reader_asks_for_a_better_scorer() -> None:
    alarm = 0.2
    simple = break_even(alarm, B, lambda n: n / 100, frames=T, ratio=0.1)
    # Shares of a linear reader: hits and false alarms are worth the same.
    assert simple == pytest.approx(alarm, abs=0.03)
    assert break_even(alarm, B, concave, frames=T, ratio=0.1) > simple + 0.1


def test_even_shares_where_nothing_is_told_apart() -> None:
    same = planted_accuracy(0.4, 0.1, B, concave, frames=T, ratio=1.0)
    assert same == pytest.approx(float(concave(np.array([B / T]))[0]))
    assert np.isnan(break_even(0.1, B, concave, frames=T, ratio=1.0))
    with pytest.raises(InputError, match="rates in"):
        planted_accuracy(0.5, 1.5, B, concave, frames=T)
