"""Masks: exact counts, row by row, the lowest scores, ties by position."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.pruning import (
    METHODS,
    InputStatistics,
    lowest_by_row,
    lowest_overall,
    row_counts,
    row_order,
)
from neurosparse.pruning.choose import prune_linear
from neurosparse.pruning.wanda_variant import lowest_by_share

shapes = st.tuples(st.integers(1, 20), st.integers(1, 40))


@given(shapes, st.floats(0, 1))
def test_row_counts_are_exact_and_even(shape: tuple[int, int], share: float) -> None:
    rows, columns = shape
    drop = round(share * rows * columns)
    counts = row_counts(rows, columns, drop)
    assert int(counts.sum()) == drop
    assert int(counts.max() - counts.min()) <= 1
    assert int(counts.max()) <= columns and int(counts.min()) >= 0


@given(shapes, st.floats(0, 1), st.integers(0, 1000))
def test_mask_drops_the_lowest_of_each_row(shape: tuple[int, int], share: float, seed: int) -> None:
    rows, columns = shape
    drop = round(share * rows * columns)
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
    keep = lowest_by_row(scores, drop)
    assert int((~keep).sum()) == drop
    for row in range(rows):
        kept, gone = scores[row][keep[row]], scores[row][~keep[row]]
        if len(kept) and len(gone):
            assert kept.min() >= gone.max()


@given(shapes, st.integers(0, 1000))
def test_masks_are_nested(shape: tuple[int, int], seed: int) -> None:
    """What goes at a low rate goes at a higher one too, when rows get equally more."""
    rows, columns = shape
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
    low = lowest_by_row(scores, rows * (columns // 3))
    high = lowest_by_row(scores, rows * (columns // 2))
    assert bool((high <= low).all())


def test_ties_go_by_position() -> None:
    keep = lowest_by_row(torch.ones(2, 4), 4)
    assert keep.tolist() == [[False, False, True, True]] * 2


@given(shapes, st.floats(0, 1), st.integers(0, 1000),
       st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_selection_is_sorting_with_ties_and_nan(
        shape: tuple[int, int], share: float, seed: int, dtype: torch.dtype) -> None:
    rows, columns = shape
    drop = round(share * rows * columns)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 4, (rows, columns), generator=generator).to(dtype)
    scores[scores == 3] = torch.nan if seed % 3 == 0 else 3
    order, expected = row_order(scores), torch.ones(rows, columns, dtype=torch.bool)
    for row, count in enumerate(row_counts(rows, columns, drop).tolist()):
        expected[row, order[row, :count]] = False
    assert torch.equal(lowest_by_row(scores, drop), expected)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="7"):
        lowest_by_row(torch.ones(2, 3), 7)


@given(shapes, st.floats(0, 1), st.integers(0, 1000),
       st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
def test_the_lowest_of_all_are_counted_with_nan(
        shape: tuple[int, int], share: float, seed: int, dtype: torch.dtype) -> None:
    """What is no number goes last, and the count is exact even where it must go."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 4, shape, generator=generator).to(dtype)
    scores[scores == 3] = torch.nan
    drop = round(share * scores.numel())
    keep = lowest_overall(scores, drop)
    expected = torch.ones(scores.numel(), dtype=torch.bool)
    expected[scores.flatten().argsort(stable=True)[:drop]] = False
    assert torch.equal(keep.flatten(), expected)


@pytest.mark.parametrize("drop", [-1, 7])
def test_every_mask_refuses_a_count_that_does_not_fit(drop: int) -> None:
    for lowest in (lowest_by_row, lowest_overall, lowest_by_share):
        with pytest.raises(InputError, match=f"{drop} entries"):
            lowest(torch.ones(2, 3), drop)
    for method in METHODS.values():
        seen = InputStatistics(3, gram=True)
        seen.add(torch.eye(3))
        with pytest.raises(InputError, match=f"{drop} entries"):
            prune_linear(torch.ones(2, 3), seen, drop, method)
