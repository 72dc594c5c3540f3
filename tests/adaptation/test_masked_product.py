"""The masked product against the form that builds B A, in value and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.adaptation import masked_product
from neurosparse.adaptation.masked_product import DenseRows, NoRows, masked_linear
from neurosparse.errors import InputError
from neurosparse.sparse.bits import count, pack_bits, unpack_bits


def _case(rows: int, columns: int, rank: int, tokens: int, seed: int = 0,
          dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    mask = torch.rand(rows, columns, generator=g) < 0.4
    return (normal(tokens, columns).requires_grad_(), normal(rank, columns).requires_grad_(),
            normal(rows, rank).requires_grad_(), normal(rows, columns) * mask, mask)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 90), columns=st.integers(1, 130), rank=st.integers(1, 5),
       tokens=st.integers(1, 7), height=st.integers(1, 40), seed=st.integers(0, 99))
def test_equals_the_dense_form(rows: int, columns: int, rank: int, tokens: int, height: int,
                               seed: int) -> None:
    x, a, b, weight, mask = _case(rows, columns, rank, tokens, seed)
    before = masked_product._TILE, masked_product._LEAST_ROWS
    masked_product._TILE, masked_product._LEAST_ROWS = height * columns, 1
    try:
        ours = masked_linear(x, DenseRows(weight, pack_bits(mask)), a, b, 0.7)
        up = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(1))
        mine = torch.autograd.grad(ours, (x, a, b), up)
    finally:
        masked_product._TILE, masked_product._LEAST_ROWS = before
    plain = x @ (weight + 0.7 * mask.double() * (b @ a)).T
    theirs = torch.autograd.grad(plain, (x, a, b), up)
    torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def test_gradcheck() -> None:
    x, a, b, weight, mask = _case(6, 9, 2, 3)
    rows = DenseRows(weight, pack_bits(mask))
    assert torch.autograd.gradcheck(lambda *p: masked_linear(p[0], rows, p[1], p[2], 1.3),
                                    (x, a, b))


def test_update_alone_has_no_base() -> None:
    x, a, b, _, mask = _case(6, 9, 2, 3)
    out = masked_linear(x, NoRows((6, 9), pack_bits(mask)), a, b, 0.5)
    torch.testing.assert_close(out, x @ (0.5 * mask.double() * (b @ a)).T)


def test_masked_entries_have_no_gradient() -> None:
    """With rows of B A that only masked entries see, nothing is learnt."""
    x, a, b, weight, mask = _case(6, 9, 2, 3)
    mask[2] = False
    weight[2] = 0.0
    masked_linear(x, DenseRows(weight, pack_bits(mask)), a, b, 1.0).sum().backward()
    assert b.grad is not None and not b.grad[2].any() and b.grad[3].any()


def test_no_tensor_of_the_size_of_the_weight_is_made() -> None:
    """Memory is O(tile): the largest allocation of a step is far below B A's."""
    rows, columns, tokens = 4096, 1024, 4
    x, a, b, weight, mask = _case(rows, columns, 4, tokens, dtype=torch.float32)
    held = DenseRows(weight, pack_bits(mask))
    with torch.profiler.profile(profile_memory=True) as seen:
        masked_linear(x, held, a, b, 1.0).sum().backward()
    largest = max(abs(event.cpu_memory_usage) for event in seen.events())
    assert largest < rows * columns * 4 / 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_rounds_as_merging_rounds(dtype: torch.dtype) -> None:
    x, a, b, weight, mask = _case(20, 33, 3, 4, dtype=torch.float32)
    weight, held = weight.to(dtype), x.detach().to(dtype)
    out = masked_linear(held, DenseRows(weight, pack_bits(mask)), a, b, 0.5)
    merged = (weight.float() + 0.5 * mask * (b @ a)).to(dtype)
    torch.testing.assert_close(out, held @ merged.T, rtol=1e-6, atol=1e-6)


def test_autocast_gives_its_dtype() -> None:
    x, a, b, weight, mask = _case(20, 33, 3, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = masked_linear(x, DenseRows(weight, pack_bits(mask)), a, b, 0.5)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert a.grad is not None and a.grad.dtype == torch.float32


@given(rows=st.integers(1, 12), columns=st.integers(1, 140), seed=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_bits_are_the_mask(rows: int, columns: int, seed: int) -> None:
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < 0.5
    bits = pack_bits(mask)
    assert torch.equal(unpack_bits(bits, columns), mask) and count(bits) == int(mask.sum())


def test_a_mask_is_bool() -> None:
    with pytest.raises(InputError, match="bool"):
        pack_bits(torch.ones(3, 3))
