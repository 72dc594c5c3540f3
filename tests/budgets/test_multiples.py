"""Rates on multiples: of all roundings the sum nearest to the target, against every one of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosparse.budgets.multiples import on_multiples
from neurosparse.errors import BudgetError


def _off(found: np.ndarray, rates: np.ndarray, sizes: np.ndarray) -> float:
    return abs(float(sizes @ (found - rates)))


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_no_rounding_comes_nearer_or_moves_less(count: int, multiple: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates, sizes = rng.random(count), rng.integers(1, 9, count)
    found = on_multiples(rates, sizes, multiple)
    down = np.floor(rates * multiple)
    every = [(down + up) / multiple for up in map(np.array, itertools.product((0, 1), repeat=count))
             if np.all(down + up <= multiple)]
    best = min(_off(one, rates, sizes) for one in every)
    assert _off(found, rates, sizes) == pytest.approx(best, abs=1e-9)
    moved = min(float(sizes @ (one - rates) ** 2) for one in every
                if _off(one, rates, sizes) < best + 1e-9)
    assert float(sizes @ (found - rates) ** 2) == pytest.approx(moved, abs=1e-9)


def test_the_target_is_not_rounded_first() -> None:
    """Off by 2.044 with (1/2, 1/2), by 1.956 with (1, 0): a target of 2.98 is no 3."""
    assert on_multiples([0.78254949, 0.10917107], [5, 1], 2) == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize(("sizes", "rate", "mean"), [
    ([10**9, 7], 0.999, 1.0), ([45_000_000, 45_000_000, 16_000_000, 77], 0.62, 0.625)])
def test_sizes_without_a_common_divisor_may_go_beyond(sizes: list[int], rate: float, mean: float
                                                      ) -> None:
    found = on_multiples(np.full(len(sizes), rate), sizes, 8)
    assert np.average(found, weights=sizes) == pytest.approx(mean, abs=1e-6)


def test_what_is_no_multiple() -> None:
    assert on_multiples([0.5, 0.5], [1, 1], np.int64(8)) == pytest.approx([0.5, 0.5])
    for wrong in (True, 0, 8.0, "8", None):
        with pytest.raises(BudgetError, match="multiple="):
            on_multiples([0.5], [1], wrong)
