"""Columns settled one after the other: all levels give the twin's bits, and SparseGPT's errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.settle import MOST_COLUMNS, settle_columns


class Case(NamedTuple):
    weight: Any
    factor: Any
    gone: Any


def make(columns: int, rows: int, share: float = 0.6, seed: int = 0) -> Case:
    """A weight (columns, rows) and the factor of an inverse, as SparseGPT has them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((columns + 5, columns))
    upper = np.linalg.cholesky(np.linalg.inv(x.T @ x + 0.1 * np.eye(columns))).T
    return Case(rng.standard_normal((columns, rows)).astype(np.float32),
                np.ascontiguousarray(upper.T, np.float32), rng.random((columns, rows)) < share)


def settled(case: Case) -> tuple[Any, Any]:
    """Weight and errors at the level in use."""
    weight, errors = case.weight.copy(), np.full_like(case.weight, np.nan)
    settle_columns(weight, case.factor, case.gone, errors=errors)
    return weight, errors


def exact(case: Case) -> tuple[Any, Any]:
    """The same in float64, a rank-one update a column."""
    weight, upper = case.weight.astype(np.float64), case.factor.T.astype(np.float64)
    errors = np.zeros_like(weight)
    for k in range(len(weight)):
        errors[k] = np.where(case.gone[k], weight[k], 0) / upper[k, k]
        weight[k:] -= np.outer(upper[k, k:], errors[k])
        weight[k][case.gone[k]] = 0
    return weight, errors


@settings(max_examples=60, deadline=None)
@given(columns=st.integers(1, 40), rows=st.integers(0, 200),
       share=st.sampled_from([0.0, 0.3, 0.7, 1.0]), seed=st.integers(0, 2**31))
def test_all_levels_give_the_twins_bits(columns: int, rows: int, share: float, seed: int) -> None:
    case, seen = make(columns, rows, share, seed), set()
    for name in kernels.levels():
        with kernels.using(name):
            weight, errors = settled(case)
        seen.add(weight.tobytes() + errors.tobytes())
        for found, wanted in zip((weight, errors), exact(case), strict=True):
            assert np.allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max(initial=1))
        assert not weight[case.gone].any() and not errors[~case.gone].any()
    assert len(seen) == 1


def test_the_widest_block(level: str) -> None:
    case = make(MOST_COLUMNS, 70 if level == "twin" else 700)
    for found, wanted in zip(settled(case), exact(case), strict=True):
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_what_stays_makes_up_for_what_goes(level: str) -> None:
    """The error in X W is that of the best fit, column after column: no less can be had by them."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 24)) @ rng.standard_normal((24, 24))
    weight = rng.standard_normal((24, 1)).astype(np.float32)
    upper = np.linalg.cholesky(np.linalg.inv(x.T @ x)).T
    gone = np.zeros((24, 1), bool)
    gone[0] = True  # the first alone: all others are free to move, which is least squares
    moved, errors = weight.copy(), np.empty_like(weight)
    settle_columns(moved, np.ascontiguousarray(upper.T, np.float32), gone, errors=errors)
    best = np.linalg.lstsq(x[:, 1:], x @ weight[:, 0], rcond=None)[0]
    assert np.allclose(moved[1:, 0], best, rtol=2e-3, atol=2e-3)
    lost = np.square(x @ (moved - weight)).sum()
    assert lost == pytest.approx(float(np.square(errors).sum()), rel=1e-2)


def test_threads_change_nothing(level: str, restored_threads: None) -> None:
    case, seen = make(24, 5000), set()  # more rows than one thread takes
    for count in (1, 2, 5):
        kernels.set_threads(count)
        weight, errors = settled(case)
        seen.add(weight.tobytes() + errors.tobytes())
    assert len(seen) == 1


def test_what_lies_above_the_factor_is_not_read(level: str) -> None:
    case = make(9, 33)
    dirty = case._replace(factor=np.where(np.tri(9, dtype=bool), case.factor, np.nan
                                          ).astype(np.float32))
    for one, two in zip(settled(case), settled(dirty), strict=True):
        assert np.array_equal(one, two)


def test_what_does_not_fit_is_refused(level: str) -> None:
    weight, factor, gone = make(6, 20)
    errors = np.empty_like(weight)
    wrong: list[tuple[Any, ...]] = [
        (weight[:5], factor, gone, errors), (weight, factor[:5], gone, errors),
        (weight, factor, gone[:, :19], errors), (weight, factor, gone, errors[:5]),
        (weight.astype(np.float64), factor, gone, errors), (weight, factor, gone * 1.0, errors),
        (weight.T.copy().T, factor, gone, errors)]
    for one, two, three, four in wrong:
        with pytest.raises(InputError, match="settle columns"):
            settle_columns(one, two, three, errors=four)
    wide = MOST_COLUMNS + 1
    with pytest.raises(InputError, match="settle columns"):
        settle_columns(np.zeros((wide, 2), np.float32), np.eye(wide, dtype=np.float32),
                       np.zeros((wide, 2), bool), errors=np.zeros((wide, 2), np.float32))
