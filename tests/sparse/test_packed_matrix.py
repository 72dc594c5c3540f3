"""Pack and unpack: bits, bounds and bytes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sparse_cases import sparse_matrix

from neurosparse.errors import InputError
from neurosparse.sparse import VALUES, PackedMatrix, pack, packed_bytes, unpack

FLOATS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

matrices = st.builds(
    sparse_matrix, st.integers(1, 9), st.integers(1, 140),
    density=st.sampled_from([0.0, 0.05, 0.4, 1.0]), seed=st.integers(0, 1000),
)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.uint8)


@given(matrices, st.sampled_from(sorted(FLOATS)))
def test_float_kinds_come_back_bit_for_bit(weight: torch.Tensor, values: str) -> None:
    stored = weight.to(FLOATS[values])
    packed = pack(weight, values=values)
    assert torch.equal(bits(unpack(packed, FLOATS[values])), bits(stored))
    assert torch.equal(unpack(packed), stored.float())
    assert packed.nnz == int(torch.count_nonzero(weight))


@given(matrices)
def test_int8_is_off_by_half_a_scale_at_most(weight: torch.Tensor) -> None:
    packed = pack(weight, values="int8")
    assert packed.scales is not None
    found = unpack(packed)
    error = (found.double() - weight.double()).abs()
    assert bool((error <= packed.scales[:, None].double() / 2 * (1 + 1e-6)).all())
    assert bool((found[weight == 0] == 0).all())
    torch.testing.assert_close(packed.scales, weight.abs().amax(1) / 127, rtol=1e-6, atol=0)


@given(matrices, st.sampled_from(VALUES))
def test_bytes_are_counted_exactly(weight: torch.Tensor, values: str) -> None:
    packed = pack(weight, values=values)
    assert packed_bytes(*packed.shape, packed.nnz, values) == packed.nbytes


@pytest.mark.parametrize("values", VALUES)
def test_every_level_packs_and_unpacks_the_same_bits(values: str, level: str) -> None:
    weight = sparse_matrix(7, 131)
    weight[3] = 0
    packed = pack(weight, values=values)
    keep = (weight != 0).to(torch.uint8)
    for j in range(131):
        assert torch.equal(packed.bitmap[:, j // 8] >> (j % 8) & 1, keep[:, j]), level
    want = weight.to(FLOATS[values]).float() if values in FLOATS else weight
    # int4: entries beyond the ends of the grid are off by more than half a step.
    steps = {"int8": 254, "int4": 7}
    tolerance = float(weight.abs().max()) / steps[values] * 1.001 if values in steps else 0.0
    torch.testing.assert_close(unpack(packed), want, rtol=0, atol=tolerance)
    used = -(-packed.nnz // 2) if values == "int4" else packed.nnz
    assert torch.equal(packed.values[used:], torch.zeros_like(packed.values[used:]))


@given(matrices, st.sampled_from(["int8", "int4"]), st.sampled_from([32, 64, 128, 256]))
def test_groups_of_columns_have_their_scales(weight: torch.Tensor, values: str, group: int) -> None:
    packed = pack(weight, values=values, group_size=group)
    rows, cols = weight.shape
    assert packed.scales is not None and packed.scales.dtype == torch.bfloat16
    assert packed.scales.shape == (rows, -(-cols // group)) and packed.has_groups(group)
    assert packed_bytes(rows, cols, packed.nnz, values, group) == packed.nbytes
    found, steps = unpack(packed), packed.scales.float().repeat_interleave(group, 1)[:, :cols]
    assert bool((found[weight == 0] == 0).all()) and not torch.signbit(found[weight == 0]).any()
    whole = found / torch.where(steps != 0, steps, 1)
    assert torch.equal(whole, whole.round()) and bool((whole >= {"int8": -127, "int4": -8}[values]
                                                       ).all() and (whole <= 127).all())
    off = (found - weight).abs() / steps.abs().clamp_min(1e-30)
    # The largest entry may lie two steps beyond -8, one that is opposite to it three beyond 7.
    assert bool((off <= {"int8": 0.5001, "int4": 3.05}[values]).all())
    again = pack(found, mask=weight != 0, values=values, group_size=group)
    assert torch.equal(unpack(again), found)


def test_a_scale_of_four_bits_may_be_negative_and_uses_all_sixteen_numbers() -> None:
    weight = torch.arange(-7, 9)[None].repeat(2, 4).float()
    weight[1] *= -0.5
    packed = pack(weight, values="int4", group_size=64)
    assert torch.equal(packed.scales, torch.tensor([[-1.0], [0.5]], dtype=torch.bfloat16))
    assert torch.equal(unpack(packed), weight)
    assert not torch.signbit(unpack(packed)[0, 7])  # a kept zero under a negative scale


def test_a_mask_keeps_zeros_and_drops_the_rest() -> None:
    weight = torch.tensor([[0.0, 2.0, float("nan")], [3.0, 0.0, 5.0]])
    mask = torch.tensor([[True, True, False], [False, False, True]])
    packed = pack(weight, mask=mask, values="fp32")
    assert packed.nnz == 3
    assert torch.equal(unpack(packed), torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 5.0]]))


def test_the_smallest_numbers_are_quantised_too() -> None:
    weight = torch.tensor([[1e-45, 6e-44], [0.0, 0.0], [3e38, -3e38]])
    packed = pack(weight, values="int8")
    assert packed.scales is not None and bool(torch.isfinite(packed.scales).all())
    assert bool(((unpack(packed) - weight).abs() <= packed.scales[:, None] / 2 * 1.00001).all())


def test_sixty_percent_of_a_real_shape_keeps_the_promised_bytes() -> None:
    weight = sparse_matrix(1536, 576, density=1.0)
    kth = weight.abs().flatten().kthvalue(int(0.6 * weight.numel())).values
    weight[weight.abs() <= kth] = 0
    dense = 2 * weight.numel()
    assert pack(weight, values="bf16").nbytes <= 0.48 * dense
    assert pack(weight, values="int8").nbytes <= 0.28 * dense


@pytest.mark.parametrize(("weight", "options", "word"), [
    (torch.tensor([[1.0, float("nan")]]), {}, "nan"),
    (torch.tensor([[1.0, float("inf")]]), {"values": "int8"}, "inf"),
    (torch.tensor([[1e6]]), {"values": "fp16"}, "bf16"),
    (torch.ones(3), {}, "matrix"),
    (torch.ones(3, 3, dtype=torch.int32), {}, "int32"),
    (torch.ones(3, 3), {"values": "int3"}, "int3"),
    (torch.ones(3, 3), {"values": "int4", "group_size": 48}, "48"),
    (torch.ones(3, 3), {"values": "int8", "group_size": True}, "True"),
    (torch.ones(3, 3), {"values": "bf16", "group_size": 64}, "bf16"),
    (torch.tensor([[1.0, float("nan")]]), {"values": "int4"}, "nan"),
    (torch.ones(3, 3), {"mask": torch.ones(3, 2, dtype=torch.bool)}, "(3, 2)"),
])
def test_what_cannot_be_packed_is_refused(weight: torch.Tensor, options: dict[str, object],
                                          word: str) -> None:
    with pytest.raises(InputError, match=word.replace("(", r"\(").replace(")", r"\)")):
        pack(weight, **options)  # type: ignore[arg-type]


def test_impossible_sizes_and_dtypes_are_refused() -> None:
    with pytest.raises(InputError):
        packed_bytes(2, 2, 5, "bf16")
    packed = pack(torch.ones(2, 2))
    with pytest.raises(InputError):
        unpack(packed, torch.int8)
    strange = PackedMatrix(packed.bitmap, packed.values.double(), None, (2, 2), 4)
    with pytest.raises(InputError):
        unpack(strange)
