"""Schedule and ranks: values of papers.md section 3 and exact sums."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.adaptation import cubic
from neurosparse.adaptation.schedule import batches_of_steps, rank_path
from neurosparse.budgets.ranks import ranks_by_error
from neurosparse.errors import BudgetError, InputError


def test_published_values() -> None:
    np.testing.assert_allclose(cubic(0.7, 5), [0.3416, 0.5488, 0.6552, 0.6944, 0.7], atol=1e-12)
    assert rank_path(10, 5) == [6, 7, 8, 9, 10]
    assert batches_of_steps(100, 5) == [11, 11, 10, 10, 58]


@given(sparsity=st.floats(0, 0.99), start=st.floats(0, 1), steps=st.integers(1, 20))
def test_rises_to_the_asked(sparsity: float, start: float, steps: int) -> None:
    begin = start * sparsity
    found = cubic(sparsity, steps, start=begin)
    assert len(found) == steps and found[-1] == sparsity
    assert all(a <= b + 1e-15 for a, b in itertools.pairwise([begin, *found]))


def test_boxes_of_neighbouring_steps() -> None:
    """Papers.md (f) 5: rates are monotone for steps 1-2 and 2-3, and may fall after."""
    means, widths = cubic(0.7, 5), [0.01, 0.02, 0.03, 0.03, 0.03]
    boxes = [(s - w, s + w) for s, w in zip(means, widths, strict=True)]
    apart = [later[0] >= earlier[1] for earlier, later in itertools.pairwise(boxes)]
    assert apart == [True, True, False, False]


@given(batches=st.integers(1, 400), steps=st.integers(1, 12))
def test_every_batch_is_used_once(batches: int, steps: int) -> None:
    if batches < steps:
        with pytest.raises(InputError, match="at least one batch a step"):
            batches_of_steps(batches, steps)
        return
    found = batches_of_steps(batches, steps)
    assert sum(found) == batches and min(found) >= 1 and len(found) == steps


def test_less_sparse_than_it_is() -> None:
    with pytest.raises(InputError, match="cannot be made less sparse"):
        cubic(0.5, 3, start=0.6)


def _cost(ranks: tuple[int, ...], errors: np.ndarray) -> float:
    return float(np.sum(errors**2 / np.array(ranks)))


@settings(max_examples=40, deadline=None)
@given(errors=st.lists(st.floats(0.01, 10), min_size=1, max_size=4), mean=st.integers(1, 4))
def test_ranks_are_optimal(errors: list[float], mean: int) -> None:
    """Against all whole numbers with that sum."""
    e = np.array(errors)
    found = ranks_by_error(e, mean, upper=5)
    assert found.sum() == mean * len(e) and found.min() >= 1 and found.max() <= 5
    every = (r for r in itertools.product(range(1, 6), repeat=len(e)) if sum(r) == mean * len(e))
    best = min(_cost(r, e) for r in every)
    assert _cost(tuple(found), e) <= best * (1 + 1e-9)


@given(errors=st.lists(st.floats(0, 1e6), min_size=2, max_size=40), mean=st.floats(1, 16))
def test_sum_is_exact_where_rounding_misses(errors: list[float], mean: float) -> None:
    found = ranks_by_error(errors, mean)
    assert found.sum() == round(mean * len(errors)) and found.min() >= 1 and found.max() <= 16
    seen = np.maximum(np.array(errors) / max(*errors, np.finfo(float).tiny), 1e-9)
    assert all(found[i] >= found[j] for i, j in itertools.permutations(range(len(seen)), 2)
               if seen[i] > seen[j])


def test_equal_errors_give_equal_ranks() -> None:
    assert set(ranks_by_error(np.full(30, 0.3), 7).tolist()) == {7}


def test_a_steep_profile_keeps_its_total() -> None:
    """The published one-pass correction gives 158 of 192 here."""
    assert ranks_by_error(np.exp(np.linspace(0, 6, 32)), 6).sum() == 192


@pytest.mark.parametrize("errors", [[-1.0, 2.0], [np.nan, 1.0], []])
def test_wrong_errors(errors: list[float]) -> None:
    with pytest.raises(BudgetError):
        ranks_by_error(errors, 4)


def test_a_mean_outside_the_bounds() -> None:
    with pytest.raises(BudgetError, match="mean 20"):
        ranks_by_error([1.0], 20)
