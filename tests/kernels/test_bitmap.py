"""Masks, bits and values: layout from its definition, and round trips, at every level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Case, cases, make_case

from neurosparse import kernels
from neurosparse.compiled import working_alone
from neurosparse.errors import InputError
from neurosparse.tiles import Tiles

pytestmark = pytest.mark.usefixtures("level")


def test_bit_j_is_byte_j_over_8_bit_j_mod_8() -> None:
    mask = np.zeros((2, 70), np.bool_)
    mask[0, [0, 9, 69]] = True
    mask[1, 63] = True
    bitmap = kernels.pack_mask(mask)
    expected = np.zeros((2, 16), np.uint8)
    expected[0, [0, 1, 8]] = [1, 2, 32]
    expected[1, 7] = 128
    assert np.array_equal(bitmap, expected)
    assert kernels.row_offsets(bitmap).tolist() == [0, 3, 4]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_unpack_undoes_pack_and_pad_bits_are_zero(case: Case) -> None:
    bitmap = kernels.pack_mask(case.mask)
    assert bitmap.shape == (case.rows, -(-case.cols // 64) * 8)
    assert np.array_equal(kernels.unpack_mask(bitmap, case.cols), case.mask)
    assert np.bitwise_count(bitmap).sum() == case.mask.sum()


@given(st.integers(0, 255), st.integers(1, 130))
def test_any_nonzero_byte_is_kept(byte: int, cols: int) -> None:
    mask = np.full((2, cols), byte, np.uint8)
    unpacked = kernels.unpack_mask(kernels.pack_mask(mask), cols)
    assert unpacked.all() if byte else not unpacked.any()


@settings(max_examples=60, deadline=None)
@given(cases())
def test_offsets_count_rows(case: Case) -> None:
    offsets = kernels.row_offsets(kernels.pack_mask(case.mask))
    assert np.array_equal(np.diff(offsets), case.mask.sum(axis=1))
    assert offsets[0] == 0


@settings(max_examples=60, deadline=None)
@given(cases())
def test_values_stand_in_row_major_order_and_are_padded(case: Case) -> None:
    values, _, offsets = case.packed()
    nnz = int(offsets[-1])
    assert len(values) == kernels.padded_length(nnz, values.itemsize)
    assert np.array_equal(values[:nnz], case.raw[case.mask])
    assert not values[nnz:].any()
    assert values.nbytes % 64 == 0
    assert values.nbytes >= nnz * values.itemsize + 64


@settings(max_examples=80, deadline=None)
@given(cases(), st.data())
def test_expand_is_the_masked_matrix_bit_for_bit(case: Case, data: st.DataObject) -> None:
    values, bitmap, offsets = case.packed()
    first = data.draw(st.integers(0, case.rows))
    last = data.draw(st.integers(first, case.rows))
    dense = kernels.expand(values, bitmap, offsets, case.cols, first, last)
    zero = case.raw.dtype.type(0)
    assert dense.dtype == case.raw.dtype
    assert np.array_equal(dense, np.where(case.mask, case.raw, zero)[first:last])


@settings(max_examples=80, deadline=None)
@given(cases(), st.data())
def test_expand_float_is_exact(case: Case, data: st.DataObject) -> None:
    values, bitmap, offsets = case.packed()
    first = data.draw(st.integers(0, case.rows))
    last = data.draw(st.integers(first, case.rows))
    floats = kernels.expand_float(
        values, case.kind, bitmap, offsets, case.scales, case.cols, first, last
    )
    assert np.array_equal(floats, case.floats[first:last])


@settings(max_examples=80, deadline=None)
@given(cases(), st.data())
def test_expand_half_is_expand_float_rounded_to_nearest_even(case: Case, data: st.DataObject
                                                             ) -> None:
    values, bitmap, offsets = case.packed()
    first = data.draw(st.integers(0, case.rows))
    last = data.draw(st.integers(first, case.rows))
    halves = kernels.expand_half(
        values, case.kind, bitmap, offsets, case.scales, case.cols, first, last
    )
    exact = np.ascontiguousarray(case.floats[first:last])
    wanted = torch.from_numpy(exact).to(torch.bfloat16)
    assert halves.dtype == np.uint16 and halves.shape == exact.shape
    assert torch.equal(torch.from_numpy(halves).view(torch.bfloat16), wanted)


def test_expand_half_rounds_ties_and_keeps_what_is_not_a_number() -> None:
    """All upper halves of a float32, just below a tie, at it and above it."""
    upper = np.arange(65536, dtype=np.uint32) << np.uint32(16)
    for lower in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        raw = (upper | np.uint32(lower)).view(np.float32).reshape(256, 256)
        case = Case("fp32", np.ones(raw.shape, np.bool_), raw, None)
        halves = kernels.expand_half(case.packed()[0], "fp32", *case.packed()[1:], None, 256, 0,
                                     256)
        found = torch.from_numpy(halves).view(torch.bfloat16)
        wanted = torch.from_numpy(raw).to(torch.bfloat16)
        there = ~wanted.isnan()
        assert torch.equal(found[there], wanted[there])
        assert bool(found[~there].isnan().all())


def test_expand_half_refuses_as_expand_float() -> None:
    case = make_case("int8", 20, 70, 0.5, seed=0)
    values, bitmap, offsets = case.packed()
    for wrong in ((values[:-64], bitmap, offsets), (values, bitmap[:, :8].copy(), offsets),
                  (values, bitmap, offsets[::-1].copy())):
        with pytest.raises(InputError):
            kernels.expand_half(wrong[0], "int8", *wrong[1:], case.scales, 70, 0, 20)
    with pytest.raises(InputError, match="rows"):
        kernels.expand_half(values, "int8", bitmap, offsets, case.scales, 70, 3, 21)


def test_several_matrices_in_one_call_are_those_of_a_call_each() -> None:
    some = [make_case(kind, rows, cols, density, seed=rows)
            for kind in ("fp32", "bf16", "fp16", "int8")
            for rows, cols, density in ((1, 1, 1.0), (37, 130, 0.4), (64, 576, 0.0))]
    packed = [(case.packed(), case) for case in some]
    given = [(values, case.kind, bitmap, np.full_like(offsets, -1), case.scales, case.cols)
             for (values, bitmap, offsets), case in packed]
    with working_alone():
        alone = Tiles.all_from_rows(given)
    for tiles in (alone, Tiles.all_from_rows(given)):
        for made, one, (held, case) in zip(tiles, given, packed, strict=True):
            wanted = case.tiles()
            assert isinstance(made, Tiles) and np.array_equal(one[3], held[2])
            end = int(wanted.offsets[-1])
            assert np.array_equal(made.values[:end], wanted.values[:end])
            for name in ("masks", "offsets", "sums"):
                assert np.array_equal(getattr(made, name), getattr(wanted, name))


def test_a_matrix_that_does_not_fit_itself_leaves_the_others_alone() -> None:
    good, bad = (make_case("int8", 40, 64, 0.5, seed) for seed in (1, 2))
    given = []
    for case, cut in ((bad, 128), (good, 0)):
        values, bitmap, offsets = case.packed()
        kept = values[: len(values) - cut].copy()
        given.append((kept, "int8", bitmap, np.empty_like(offsets), case.scales, 64))
    if kernels.level() == "twin":
        with pytest.raises(InputError):
            Tiles.all_from_rows(given)
        return
    code, made = Tiles.all_from_rows(given)
    assert isinstance(code, int) and isinstance(made, Tiles)
    with pytest.raises(InputError):
        kernels.raise_on(code, "put into tile order")
    assert np.array_equal(made.to_dense(), good.tiles().to_dense())


def test_expand_float_of_every_bf16_and_fp16() -> None:
    """All 65,536 bit patterns, infinities, NaNs and subnormals among them."""
    raw = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    full = np.ones(raw.shape, np.bool_)
    for kind in ("bf16", "fp16"):
        case = Case(kind, full, raw, None)
        values, bitmap, offsets = case.packed()
        floats = kernels.expand_float(values, kind, bitmap, offsets, None, 256, 0, 256)
        assert np.array_equal(floats, case.floats, equal_nan=True)
        assert np.array_equal(np.signbit(floats), np.signbit(case.floats))


def test_moves_bits_of_any_type_and_leaves_special_values_alone() -> None:
    weight = np.array([[np.nan, -0.0, np.inf, 1.0, 1e-42]], np.float32)
    mask = np.array([[1, 1, 1, 0, 1]], np.uint8)
    bitmap = kernels.pack_mask(mask)
    for dtype in (np.float32, np.float16, np.uint8):
        typed = weight.view(np.uint32).astype(np.uint8) if dtype == np.uint8 else weight
        typed = typed.astype(dtype)
        values = kernels.pack_values(typed, bitmap)
        back = kernels.expand(values, bitmap, kernels.row_offsets(bitmap), 5, 0, 1)
        assert back.dtype == dtype
        kept = mask.astype(bool)
        assert back[kept].tobytes() == typed[kept].tobytes()


def test_writes_into_the_given_array_and_nowhere_else() -> None:
    case = make_case("int8", 3, 70, 0.5, 1)
    values, bitmap, offsets = case.packed()
    around = np.full((5, 70), 99, np.int8)
    out = kernels.expand(values, bitmap, offsets, 70, 0, 3, out=around[1:4])
    assert np.shares_memory(out, around)
    assert (around[[0, 4]] == 99).all()
    assert np.array_equal(around[1:4], np.where(case.mask, case.raw, 0))
