"""The product: within its stated bound at every level, the same bits at any number of threads."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_levels import in_parts
from kernel_cases import FORMS, Array, Case, bound, cases, exact, make_case

from neurosparse import kernels
from neurosparse.tiles import Tiles


@pytest.mark.usefixtures("level")
@settings(max_examples=120, deadline=None)
@given(cases(), st.integers(0, 9), st.integers(0, 99))
def test_product_is_within_its_bound(case: Case, batch: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((batch, case.cols)).astype(np.float32)
    y = case.product(x)
    assert y.shape == (batch, case.rows)
    assert np.all(np.abs(y - exact(case, x)) <= bound(case, x))


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("kind", FORMS)
def test_unit_vectors_read_out_single_weights(kind: str) -> None:
    """y for e_j is column j, exactly: no lane is mixed with another."""
    case = make_case(kind, 5, 193, 0.5, 3)
    y = case.product(np.eye(193, dtype=np.float32))
    if case.scales is None:
        assert np.array_equal(y, case.floats.T)
    else:
        # With scales of groups a whole row's offset is taken off in float32.
        offset = 2.0**-23 * np.abs(case.floats).sum(1) * (case.scales.ndim == 2)
        assert np.all(np.abs(y - case.floats.T) <= 2e-7 * np.abs(case.floats.T) + offset)


@pytest.mark.usefixtures("level")
def test_x_keeps_its_24_bits_with_float_values_and_16_of_them_with_halves() -> None:
    one = np.ones((1, 1), np.bool_)
    x = np.array([[1 + 2.0**-23]], np.float32)
    exactly = Case("fp32", one, np.ones((1, 1), np.float32), None)
    assert exactly.product(x)[0, 0] == x[0, 0]
    coarse = np.array([[1 + 2.0**-15]], np.float32)
    halves = Case("bf16", one, np.array([[0x3F80]], np.uint16), None)
    assert halves.product(coarse)[0, 0] == coarse[0, 0]


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("kind", FORMS)
def test_infinite_and_missing_entries_of_x_come_through(kind: str) -> None:
    case = make_case(kind, 40, 100, 0.6, 8)
    case.mask[:, 7] = True
    case.raw[:, 7] = make_case(kind, 40, 100, 1.0, 9).raw[:, 7]
    for bad in (np.inf, np.nan):
        x = np.ones((1, 100), np.float32)
        x[0, 7] = bad
        y = case.product(x)
        assert not np.isfinite(y[0, case.floats[:, 7] != 0]).any()


@pytest.mark.usefixtures("level")
@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 9))
def test_every_item_stored_gives_the_same_product(case: Case, batch: int) -> None:
    x = np.random.default_rng(1).standard_normal((batch, case.cols)).astype(np.float32)
    raw = np.where(case.mask, case.raw, case.raw.dtype.type(0))
    dense = Tiles.from_dense(raw, case.kind, case.scales)
    assert np.array_equal(dense.to_dense(), raw)
    assert np.all(np.abs(dense.matvec(x) - exact(case, x)) <= bound(case, x))


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("batch", [1, 8, 20])
def test_no_columns_give_zeros_and_nothing_is_read(kind: str, batch: int) -> None:
    tiles = make_case(kind, 3, 0, 0.5, 4).tiles()
    assert np.array_equal(tiles.matvec(np.empty((batch, 0), np.float32)), np.zeros((batch, 3)))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_all_levels_make_the_same_tiles_and_give_them_back(case: Case) -> None:
    raw = np.where(case.mask, case.raw, case.raw.dtype.type(0))
    seen = set()
    for name in kernels.levels():
        with kernels.using(name):
            tiles = case.tiles()
            assert np.array_equal(tiles.to_dense(), raw)
            arrays = (tiles.masks, tiles.offsets, tiles.values[: tiles.offsets[-1]], tiles.sums)
            seen.add(b"|".join(b"" if a is None else a.tobytes() for a in arrays))
    assert len(seen) == 1


@cache
def wide(kind: str, batch: int, halves: bool, cols: int = 4500
         ) -> tuple[Case, Array, Array, Array]:
    """A case of odd panels and some blocks of columns, x as given, the product, and its sizes.

    The same for all levels, and in float64 slower than the kernels: reckoned once.
    """
    case = make_case(kind, 83, cols, 0.4, 12)
    x = given = np.random.default_rng(2).standard_normal((batch, cols)).astype(np.float32)
    if halves:
        given = (x.view(np.uint32) >> 16).astype(np.uint16)
        x = (given.astype(np.uint32) << 16).view(np.float32)
    sizes = np.abs(x).astype(np.float64) @ np.abs(case.floats).astype(np.float64).T
    return case, given, exact(case, x), sizes


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("kind", ["bf16", "int8", "int8 groups", "int4"])
@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("batch", [1, 4, 13, 40])
@pytest.mark.parametrize("cols", [4500, 544])
def test_the_product_of_many_vectors_is_within_the_bound(kind: str, halves: bool, batch: int,
                                                         cols: int) -> None:
    case, given, want, sizes = wide(kind, batch, halves, cols)
    tiles = case.tiles()
    out = np.empty((batch, 83), np.uint16 if halves else np.float32)
    if not tiles.matmul_at(given.ctypes.data, halves, batch, out.ctypes.data):
        assert not in_parts(kernels.level())
        return
    found = (out.astype(np.uint32) << 16).view(np.float32) if halves else out
    rounding = 2.0**-8 * np.abs(found) if halves else 0
    limit = ((cols + 16) * 2.0**-23 + 2.0**-16) * sizes + rounding
    assert np.all(np.abs(found - want) <= limit)


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("kind", FORMS)
def test_columns_without_weights_do_not_matter(kind: str) -> None:
    case = make_case(kind, 7, 200, 0.5, 4)
    case.mask[:, 50:130] = False
    x = np.random.default_rng(0).standard_normal((2, 200)).astype(np.float32)
    changed = x.copy()
    # int8 and int4 values may meet x in steps of its largest entry.
    changed[:, 50:130] = 0.5 if kind.startswith("int") else 1e30
    x[:, 0] = changed[:, 0] = 4.0
    assert np.array_equal(case.product(x), case.product(changed))


@cache
def large(kind: str) -> Case:
    """Several chunks, of uneven last size; the same for all levels."""
    return make_case(kind, 1100, 1000, 0.5, 5)


@pytest.mark.usefixtures("level", "restored_threads")
@pytest.mark.parametrize("kind", FORMS)
def test_same_bits_at_any_number_of_threads(kind: str) -> None:
    case = large(kind)
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


@pytest.mark.parametrize("kind", ["bf16", "int8", "int8 groups", "int4"])
@pytest.mark.parametrize("batch", [3, 17, 40])
def test_whoever_uses_the_matrix_unit_beside_us_is_not_disturbed(kind: str, batch: int) -> None:
    """torch leaves shapes in the unit's registers of a thread, and we put them back."""
    if "amx" not in kernels.levels():
        pytest.skip("the processor has no matrix unit")
    case = make_case(kind, 83, 520, 0.4, 12)
    tiles = case.tiles()
    given = np.random.default_rng(2).standard_normal((batch, 520)).astype(np.float32)
    out = np.empty((batch, 83), np.float32)
    x, weight = torch.randn(64, 512).bfloat16(), torch.randn(96, 512).bfloat16()
    wanted = torch.nn.functional.linear(x, weight)
    with kernels.using("amx"):
        for _ in range(4):
            tiles.matvec(given)
            assert torch.equal(torch.nn.functional.linear(x, weight), wanted)
            assert tiles.matmul_at(given.ctypes.data, False, batch, out.ctypes.data)
            assert torch.equal(torch.nn.functional.linear(x, weight), wanted)
