"""The product: within its stated bound at every level, the same bits at any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Case, bound, cases, exact, make_case

from neurosparse import kernels


@pytest.mark.usefixtures("level")
@settings(max_examples=120, deadline=None)
@given(cases(), st.integers(0, 9), st.integers(0, 99))
def test_product_is_within_its_bound(case: Case, batch: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((batch, case.cols)).astype(np.float32)
    y = case.product(x)
    assert y.shape == (batch, case.rows)
    assert np.all(np.abs(y - exact(case, x)) <= bound(case, x))


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("kind", kernels.KINDS)
def test_unit_vectors_read_out_single_weights(kind: str) -> None:
    """y for e_j is column j, exactly: no lane is mixed with another, no x is rounded."""
    case = make_case(kind, 5, 193, 0.5, 3)
    y = case.product(np.eye(193, dtype=np.float32))
    if case.scales is None:
        assert np.array_equal(y, case.floats.T)
    else:
        assert np.allclose(y, case.floats.T, rtol=2e-7, atol=0)


@pytest.mark.usefixtures("level")
def test_x_keeps_its_24_bits() -> None:
    case = Case("bf16", np.ones((1, 1), np.bool_), np.array([[0x3F80]], np.uint16), None)
    x = np.array([[1 + 2.0**-23]], np.float32)
    assert case.product(x)[0, 0] == x[0, 0]


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("kind", kernels.KINDS)
def test_columns_without_weights_do_not_matter(kind: str) -> None:
    case = make_case(kind, 7, 200, 0.5, 4)
    case.mask[:, 50:130] = False
    x = np.random.default_rng(0).standard_normal((2, 200)).astype(np.float32)
    changed = x.copy()
    changed[:, 50:130] = 1e30
    assert np.array_equal(case.product(x), case.product(changed))


@pytest.mark.usefixtures("level", "restored_threads")
@pytest.mark.parametrize("kind", kernels.KINDS)
def test_same_bits_at_any_number_of_threads(kind: str) -> None:
    case = make_case(kind, 1100, 1000, 0.5, 5)  # several chunks, of uneven last size
    x = np.random.default_rng(1).standard_normal((5, 1000)).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 7, 2):
        kernels.set_threads(threads)
        results.append(case.product(x).tobytes())
    assert len(set(results)) == 1


@pytest.mark.usefixtures("level")
def test_repeats_bit_for_bit_and_rows_of_a_batch_stand_alone() -> None:
    case = make_case("bf16", 64, 300, 0.4, 6)
    x = np.random.default_rng(2).standard_normal((4, 300)).astype(np.float32)
    whole = case.product(x)
    assert np.array_equal(whole, case.product(x))
    for row in range(4):
        alone = case.product(x[row : row + 1])
        assert np.all(np.abs(alone - whole[row]) <= 2 * bound(case, x)[row])
