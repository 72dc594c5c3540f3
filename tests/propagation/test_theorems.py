"""ATP's statements about a layer: true under their conditions, refused without them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.propagation import (
    cancelling,
    lemma_33,
    removing_both,
    theorem_31,
    theorem_32,
    theorem_34,
    wide_matrix,
)

seeds = st.integers(0, 2**32 - 1)


def layer(seed: int, *, tall: bool = True) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, more = rng.integers(1, 7), rng.integers(0, 4)
    return rng, rng.normal(size=(n + more, n) if tall else (n, n + 1 + more))


def white(rng: np.random.Generator, size: int) -> np.ndarray:
    """Inputs with a diagonal X Xᵀ, of uneven power."""
    rows = np.linalg.qr(rng.normal(size=(size + 3, size)))[0].T
    return rows * rng.uniform(0.1, 3, size)[:, None]


@given(seeds, st.booleans())
@settings(deadline=None)
def test_31_equals_the_errors_and_they_are_ordered(seed: int, tall: bool) -> None:
    rng, w = layer(seed, tall=tall)
    x = white(rng, w.shape[1])
    fewer = rng.random(w.shape) > 0.3
    more = fewer & (rng.random(w.shape) > 0.3)
    gram = np.diag(np.sum(x**2, axis=1))
    low, high = theorem_31(w, fewer, more, gram)
    assert low <= high
    for mask, error in ((fewer, low), (more, high)):
        assert np.isclose(np.sum(((w * mask - w) @ x) ** 2), error, rtol=1e-10, atol=1e-14)


def test_31_refuses_correlated_inputs_and_crossed_masks() -> None:
    w, gram = np.array([[1.0, -1.0]]), np.array([[5.0, 5.0], [5.0, 5.0]])
    with pytest.raises(InputError, match="correlated"):
        theorem_31(w, [[1, 0]], [[0, 0]], gram)
    with pytest.raises(InputError, match="nested"):
        theorem_31(w, [[1, 0]], [[0, 1]], np.eye(2))
    with pytest.raises(InputError, match="0 and 1"):
        theorem_31(w, [[1, 0.5]], [[0, 0]], np.eye(2))


@given(seeds)
@settings(deadline=None)
def test_33_holds_for_tall_and_is_refused_for_wide(seed: int) -> None:
    rng, a = layer(seed)
    product, bound = lemma_33(a, rng.normal(size=(a.shape[1], 3)))
    assert product >= bound * (1 - 1e-10)
    _, wide = layer(seed, tall=False)
    with pytest.raises(InputError, match="wide"):
        lemma_33(wide, np.ones((wide.shape[1], 1)))


def test_33_is_attained_by_the_last_singular_vector() -> None:
    rng, a = layer(5)
    product, bound = lemma_33(a, np.linalg.svd(a)[2][-1][:, None] * rng.normal(size=(1, 2)))
    assert product == pytest.approx(bound, rel=1e-9)


@given(seeds)
@settings(deadline=None)
def test_32_is_exact_and_its_bound_holds(seed: int) -> None:
    rng, w = layer(seed)
    v = w * (rng.random(w.shape) > rng.uniform(0, 0.7))
    x = rng.normal(size=(w.shape[1], 4))
    y = x + rng.normal(size=x.shape) * 10 ** rng.uniform(-3, 1)
    found = theorem_32(w, v, x, y)
    assert np.isclose(found.error, np.sum((w @ x - v @ y) ** 2), rtol=1e-9)
    assert found.lower <= found.error * (1 + 1e-9)
    carried = np.sum((v @ (y - x)) ** 2)
    assert np.isclose(found.error, found.local + carried + found.cross, rtol=1e-7, atol=1e-9)


@given(seeds)
@settings(deadline=None)
def test_34_bounds_are_ordered_and_hold(seed: int) -> None:
    rng, w = layer(seed)
    x = white(rng, w.shape[1])
    fewer = rng.random(w.shape) > 0.3
    more = fewer & (rng.random(w.shape) > 0.5)
    after = rng.normal(size=(w.shape[0] + 1, w.shape[0]))
    v = after * (rng.random(after.shape) > 0.1)
    low, high = theorem_34(w, fewer, more, x, after, v)
    assert low <= high
    for mask, bound in ((fewer, low), (more, high)):
        error = np.sum((after @ (w @ x) - v @ ((w * mask) @ x)) ** 2)
        assert bound <= error * (1 + 1e-9) + 1e-12


def test_34_is_not_empty() -> None:
    low, high = theorem_34(np.eye(2), [[1, 0], [0, 1]], [[0, 0], [0, 0]], np.eye(2), np.eye(2),
                           np.eye(2))
    assert (low, high) == pytest.approx((0.0, 2.0))


def test_the_printed_statements_fail() -> None:
    both = removing_both()
    assert (both.left, both.right) == (0.0, 5.0)
    assert (wide_matrix().left, wide_matrix().right) == (0.0, 1.0)
    assert (cancelling().left, cancelling().right) == (0.0, 1.0)
