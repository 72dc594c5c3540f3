"""The Triton kernels in Triton's interpreter; run by test_triton.py in a process of its own.

The interpreter must be chosen before Triton is imported and then holds for the whole process. It
cuts bfloat16 results off where a card rounds them, so a result may be off by a whole ``eps``.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from sparse_cases import sparse_matrix

from neurosparse.errors import InputError
from neurosparse.sparse import VALUES as ALL
from neurosparse.sparse import SparseLinear, arithmetic, on_gpu, pack, unpack
from neurosparse.sparse.arithmetic import Rows
from neurosparse.sparse.triton_expand import CONFIGS, expand
from neurosparse.sparse.triton_matvec import DOTS, SUMS, by_dot, matvec
from neurosparse.sparse.triton_tuning import Config

EPS = torch.finfo(torch.float32).eps
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
VALUES = tuple(kind for kind in ALL if kind != "int4")  # torch's operators expand that
# Few programs and several steps: what the interpreter can do in the time of a test.
SMALL = Config(16, 8, 1)


def packed(weight: torch.Tensor, values: str) -> tuple[Rows, torch.Tensor]:
    """Rows as they are on a GPU, without views for the CPU; and the matrix in float32."""
    matrix = pack(weight, values=values)
    held = SparseLinear(matrix).views()
    rows = Rows(held.bitmap, held.values, held.scales, held.offsets, held.cols, held.kind, None)
    return rows, unpack(matrix)


def inputs(count: int, cols: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(count, cols, generator=torch.Generator().manual_seed(count)).to(dtype)


def check(found: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> None:
    """Against float64, within what ``matvec`` promises."""
    want = x.double() @ weight.double().T
    bound = (weight.shape[1] + 16) * EPS * (x.double().abs() @ weight.double().abs().T)
    if x.dtype != torch.float32:
        bound = bound + torch.finfo(x.dtype).eps * want.abs() + torch.finfo(x.dtype).tiny
    assert found.dtype == x.dtype and found.shape == want.shape
    assert bool(((found.double() - want).abs() <= bound).all())


@pytest.mark.parametrize(("values", "dtype"), list(itertools.product(VALUES, DTYPES)))
def test_every_kind_with_every_input(values: str, dtype: torch.dtype) -> None:
    rows, weight = packed(sparse_matrix(11, 133), values)
    x = inputs(2, 133, dtype)
    check(matvec(x, rows, 0, 11, config=SMALL), x, weight)


@pytest.mark.parametrize("count", [1, 2, 4, 7, 16])
@pytest.mark.parametrize("values", ["bf16", "int8"])
def test_every_batch(values: str, count: int) -> None:
    rows, weight = packed(sparse_matrix(9, 150, density=0.3), values)
    for dtype in (torch.bfloat16, torch.float32)[: 2 if count == 7 else 1]:
        x = inputs(count, 150, dtype)
        assert by_dot(x, rows) == (count > 4 and dtype == torch.bfloat16)
        check(matvec(x, rows, 0, 9, config=SMALL), x, weight)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 8), (2, 64), (17, 65), (1, 1030)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    rows, weight = packed(sparse_matrix(*shape), "bf16")
    for count, dtype in ((1, torch.float32), (5, torch.bfloat16)):
        x = inputs(count, shape[1], dtype)
        check(matvec(x, rows, 0, shape[0], config=Config(16, 32, 1)), x, weight)
    assert torch.equal(expand(rows, 0, shape[0], torch.float32, config=Config(8, 32, 1)), weight)


@pytest.mark.parametrize("density", [0.0, 1.0, "rows"])
@pytest.mark.parametrize("values", ["fp32", "int8"])
def test_empty_full_and_missing_rows(density: float | str, values: str) -> None:
    weight = sparse_matrix(10, 90, density=0.5 if density == "rows" else float(density))
    if density == "rows":
        weight[[0, 4, 5, 9]] = 0
    rows, weight = packed(weight, values)
    x = inputs(3, 90)
    check(matvec(x, rows, 0, 10, config=SMALL), x, weight)
    assert torch.equal(expand(rows, 0, 10, torch.float32, config=SMALL), weight)


@pytest.mark.parametrize("kept", [0, 1])
def test_rows_within_a_matrix(kept: int) -> None:
    rows, weight = packed(sparse_matrix(30, 70), ("fp16", "int8")[kept])
    for first, last in ((0, 10), (11, 30), (4, 4)):
        x = inputs(2, 70)
        check(matvec(x, rows, first, last, config=SMALL), x, weight[first:last])
        found = expand(rows, first, last, torch.float32, config=SMALL)
        assert torch.equal(found, weight[first:last])


@pytest.mark.parametrize("config", [*SUMS, *DOTS])
def test_every_way_to_divide_the_work(config: Config) -> None:
    rows, weight = packed(sparse_matrix(3, 300), "bf16")
    x = inputs(6 if config in DOTS else 1, 300, torch.bfloat16)
    check(matvec(x, rows, 0, 3, config=config), x, weight)


@pytest.mark.parametrize(("config", "values"), list(zip(CONFIGS, VALUES, strict=True)))
def test_expanding_is_rounding_each_entry(config: Config, values: str) -> None:
    rows, weight = packed(sparse_matrix(3, 300), values)
    for dtype in (torch.float32, torch.float16):
        assert torch.equal(expand(rows, 0, 3, dtype, config=config), weight.to(dtype))


def test_strides_are_free_and_wrong_inputs_refused() -> None:
    rows, weight = packed(sparse_matrix(6, 90), "bf16")
    x = inputs(90, 3).T
    assert not x.is_contiguous()
    check(matvec(x, rows, 0, 6, config=SMALL), x, weight)
    assert matvec(x[:0], rows, 0, 6).shape == (0, 6)
    with pytest.raises(InputError, match="at most 16"):
        matvec(inputs(17, 90), rows, 0, 6)
    with pytest.raises(InputError, match="float64"):
        matvec(inputs(2, 90).double(), rows, 0, 6)


def test_a_weight_that_is_gone_does_not_see_its_input() -> None:
    weight = sparse_matrix(4, 40)
    weight[:, 7] = 0
    rows, weight = packed(weight, "bf16")
    x = inputs(1, 40)
    clean = matvec(x, rows, 0, 4, config=SMALL)
    x[0, 7] = float("inf")
    assert torch.equal(matvec(x, rows, 0, 4, config=SMALL), clean)


def test_the_product_takes_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_gpu, "usable", lambda device: True)
    monkeypatch.setattr(arithmetic, "_torch_tile", None)  # would fail if it were called
    rows, weight = packed(sparse_matrix(12, 66), "bf16")
    for count in (3, 20):
        x = inputs(count, 66).double()
        found = arithmetic.multiply(x.view(1, count, 66), rows, 2, 9)
        assert found.dtype == torch.float64 and found.shape == (1, count, 7)
        torch.testing.assert_close(found[0], x @ weight[2:9].double().T, rtol=1e-5, atol=1e-5)
    back = arithmetic.multiply_transposed(found[0].float(), rows, 2, 9)
    torch.testing.assert_close(back, found[0].float() @ weight[2:9], rtol=1e-5, atol=1e-4)
    assert not on_gpu._failures
