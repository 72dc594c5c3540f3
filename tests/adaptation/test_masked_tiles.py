"""Tiles by the kernels against tiles by torch's operators, in value and gradients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse import kernels
from neurosparse.adaptation import masked_product, masked_tiles
from neurosparse.adaptation.masked_product import DenseRows, NoRows, Rows, effective, masked_linear
from neurosparse.adaptation.masked_tiles import reference
from neurosparse.adaptation.packed_layer import PackedRows
from neurosparse.sparse import SparseLinear, pack
from neurosparse.sparse.bits import pack_bits

EPS = torch.finfo(torch.float32).eps


class Case:
    """Factors, inputs and a sparse weight."""

    def __init__(self, rows: int, columns: int, rank: int = 3, tokens: int = 5,
                 density: float = 0.4, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=g)

        self.mask = torch.rand(rows, columns, generator=g) < density
        self.weight = (normal(rows, columns) * self.mask).to(dtype)
        self.x, self.up = normal(tokens, columns).to(dtype), normal(tokens, rows).to(dtype)
        self.a, self.b = normal(rank, columns), normal(rows, rank)
        self.bits = pack_bits(self.mask)

    def rows(self) -> DenseRows:
        return DenseRows(self.weight, self.bits)


def found(case: Case, rows: Rows | None = None) -> list[torch.Tensor]:
    """The output and the gradients of x, A and B."""
    leaves = [part.detach().requires_grad_() for part in (case.x, case.a, case.b)]
    out = masked_linear(leaves[0], rows or case.rows(), leaves[1], leaves[2], 0.7)
    return [out.detach(), *torch.autograd.grad(out, leaves, case.up)]


def agree(case: Case, rows: Rows | None = None) -> None:
    """Both ways within what rounding explains: every sum has at most so many terms."""
    ours = found(case, rows)
    with reference():
        plain = found(case, rows)
    terms = sum(case.weight.shape) + len(case.x) + len(case.a)
    size = max(float(part.abs().max()) for part in (case.x, case.up, case.a, case.b, case.weight)
               if part.numel()) if case.weight.numel() else 1.0
    eps = torch.finfo(case.x.dtype).eps
    for left, right in zip(ours, plain, strict=True):
        assert left.dtype == right.dtype and left.shape == right.shape
        torch.testing.assert_close(left, right, rtol=4 * eps,
                                   atol=terms * eps * size**3)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 90), columns=st.integers(1, 150), rank=st.integers(1, 9),
       tokens=st.integers(1, 7), height=st.integers(1, 40), seed=st.integers(0, 99),
       density=st.sampled_from([0.0, 0.3, 1.0]))
def test_the_kernels_agree_with_torch(rows: int, columns: int, rank: int, tokens: int, height: int,
                                      seed: int, density: float) -> None:
    before = masked_product._TILE, masked_product._LEAST_ROWS
    masked_product._TILE, masked_product._LEAST_ROWS = height * columns, 1
    try:
        agree(Case(rows, columns, rank, tokens, density, seed))
    finally:
        masked_product._TILE, masked_product._LEAST_ROWS = before


@pytest.mark.parametrize("name", kernels.levels())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_level_and_dtype(name: str, dtype: torch.dtype) -> None:
    with kernels.using(name):
        agree(Case(40, 130, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tiles_round_as_torch_rounds(dtype: torch.dtype) -> None:
    """With whole numbers both ways are exact but for the rounding at the end."""
    case = Case(33, 130, rank=9, dtype=dtype)
    case.a, case.b = (part.mul(4).round() for part in (case.a, case.b))
    case.weight = case.weight.mul(64).round()
    ours = effective(case.rows(), case.a, case.b, 2.0, 3, 30, dtype)
    with reference():
        plain = effective(case.rows(), case.a, case.b, 2.0, 3, 30, dtype)
    assert ours.dtype == dtype and torch.equal(ours, plain)


def test_strides_are_free() -> None:
    case = Case(24, 70, rank=4)
    case.x = torch.randn(70, 5, generator=torch.Generator().manual_seed(1)).T
    case.up = case.up.T.contiguous().T
    case.weight = case.weight.T.contiguous().T
    case.a = torch.cat([case.a, case.a])[:4]
    case.b = torch.cat([case.b, case.b], 1)[:, :4]  # a rank that is not in use
    assert not any(part.is_contiguous() for part in (case.x, case.up, case.weight, case.b))
    agree(case)
    case.up = torch.ones(1, 1).expand(5, 24)
    agree(case)


def test_rows_without_entries_and_a_mask_of_nothing() -> None:
    case = Case(20, 66)
    case.mask[[0, 7, 19]] = False
    case.weight = case.weight * case.mask
    case.bits = pack_bits(case.mask)
    agree(case)
    _, _, grad_a, grad_b = found(case)
    assert not grad_b[[0, 7, 19]].any() and grad_a.any()
    case = Case(20, 66, density=0.0)
    assert not any(part.any() for part in found(case))


def test_the_update_alone() -> None:
    case = Case(20, 66)
    agree(case, NoRows((20, 66), case.bits))


@pytest.mark.parametrize("values", ["fp32", "bf16", "fp16"])
def test_packed_rows(values: str) -> None:
    case = Case(70, 130)
    agree(case, PackedRows(SparseLinear(pack(case.weight, values=values)).views()))


def test_the_weight_is_not_written_to() -> None:
    case = Case(20, 66)
    before = [part.clone() for part in (case.weight, case.bits, case.a, case.b, case.x)]
    found(case)
    assert all(torch.equal(one, now) for one, now in
               zip(before, (case.weight, case.bits, case.a, case.b, case.x), strict=True))


def test_gradcheck_of_the_reference() -> None:
    case = Case(6, 9, rank=2, tokens=3)
    leaves = [part.double().requires_grad_() for part in (case.x, case.a, case.b)]
    rows = DenseRows(case.weight.double(), case.bits)
    with reference():
        assert torch.autograd.gradcheck(lambda *p: masked_linear(p[0], rows, p[1], p[2], 1.3),
                                        leaves)


def test_two_threads_at_once() -> None:
    cases = [Case(120, 300, rank=8, seed=seed) for seed in range(2)]
    alone = [found(case) for case in cases]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            for left, right in zip(alone, pool.map(found, cases), strict=True):
                assert all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def test_the_kernels_are_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 does not pass through torch's operators on masks, and the reference does."""
    def fails(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(masked_tiles, "mask_rows", fails)
    found(Case(20, 66))
    with reference(), pytest.raises(AssertionError):
        found(Case(20, 66))
