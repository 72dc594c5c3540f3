"""Averages over draws, Kaplan-Yorke dimension and entropy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse import lyapunov
from neurosparse.errors import InputError
from neurosparse.lyapunov import MatrixSequence, entropy_rate, kaplan_yorke


def drawn(seed: int) -> MatrixSequence:
    """Exponents that differ from draw to draw (standard deviation 0.5) and fluctuate in time."""
    rng = np.random.default_rng(seed)
    level = 0.5 * rng.standard_normal()
    return MatrixSequence(np.exp(level + 0.2 * rng.standard_normal((100, 1, 1))))


def alike(seed: int) -> MatrixSequence:
    """The same exponent in all draws."""
    return MatrixSequence(np.exp(0.2 * np.random.default_rng(seed).standard_normal((100, 1, 1))))


def test_errors_over_draws_and_over_time_are_apart():
    found = lyapunov.average_spectrum(drawn, draws=200)
    assert found.each.shape == (200, 1)
    assert np.allclose(found.stderr_draws, 0.5 / np.sqrt(200), rtol=0.2)
    assert np.allclose(found.stderr_time, 0.02 / np.sqrt(200), rtol=0.1)
    assert np.allclose(found.stderr**2, found.stderr_draws**2 + found.stderr_time**2)
    assert abs(found.exponents[0]) < 4 * found.stderr[0]


def test_draws_that_are_alike_have_no_error_of_their_own():
    found = lyapunov.average_spectrum(alike, draws=200)
    assert found.stderr_draws[0] < 0.6 * found.stderr_time[0]
    assert abs(found.exponents[0]) < 4 * found.stderr[0]


def test_any_executor_gives_the_same():
    alone = lyapunov.average_spectrum(drawn, draws=6, seed=3)
    with ThreadPoolExecutor(2) as pool:
        together = lyapunov.average_spectrum(drawn, draws=6, seed=3, executor=pool)
    assert (alone.each == together.each).all()
    assert alone.seeds == (3, 4, 5, 6, 7, 8)
    assert set(alone.statuses) == {lyapunov.Status.FINISHED}


def test_one_draw_has_no_error():
    found = lyapunov.average_spectrum(drawn, draws=1)
    assert np.isnan(found.stderr).all()
    assert np.isnan(found.kaplan_yorke[1]) or found.kaplan_yorke[0] >= 0
    with pytest.raises(InputError, match="draws=0"):
        lyapunov.average_spectrum(drawn, draws=0)


def test_derived_numbers_are_averaged_over_draws():
    def lorenz(seed):
        return lyapunov.gallery.lorenz63()

    found = lyapunov.average_spectrum(lorenz, draws=3, duration=100)
    mean, error = found.kaplan_yorke
    assert abs(mean - 2.062) < 0.02
    assert 0 <= error < 0.02
    assert abs(found.entropy_rate[0] - 0.9056) < 0.1
    assert (found.each_sum_rule_residual < 1e-2).all()


def test_kaplan_yorke_by_hand():
    assert abs(kaplan_yorke([0.9056, 0.0, -14.5723]) - (2 + 0.9056 / 14.5723)) < 1e-12
    assert kaplan_yorke([-0.1, -2.0]) == 0.0
    assert kaplan_yorke([1.0, -1.0]) == 2.0
    assert kaplan_yorke([1.0, -np.inf]) == 1.0
    assert np.isnan(kaplan_yorke([1.0, -0.5]))  # more exponents are needed
    assert np.isnan(kaplan_yorke([np.nan, -1.0]))
    assert np.isnan(kaplan_yorke([]))
    assert entropy_rate([0.5, 0.25, -3.0]) == 0.75
    assert entropy_rate([-1.0]) == 0.0
    assert np.isnan(entropy_rate([np.nan]))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8), st.randoms())
def test_kaplan_yorke_does_not_mind_the_order_and_is_bounded(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    first, second = kaplan_yorke(values), kaplan_yorke(shuffled)
    assert first == second or (np.isnan(first) and np.isnan(second))
    if not np.isnan(first):
        assert 0 <= first <= len(values)
        positive = sum(v >= 0 for v in values)
        assert first >= positive or np.isclose(first, positive)
