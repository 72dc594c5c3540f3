"""The Triton kernels of masked tiles in Triton's interpreter; run by test_triton_masked.py."""

from __future__ import annotations

import pytest
import torch

from neurosparse.adaptation import masked_tiles
from neurosparse.adaptation.masked_tiles import add_gradients, reference, updated
from neurosparse.adaptation.triton_masked import ADD, GRADIENTS, add, gradients
from neurosparse.sparse import on_gpu
from neurosparse.sparse.bits import pack_bits
from neurosparse.sparse.triton_tuning import Config

EPS = torch.finfo(torch.float32).eps
SMALL = Config(16, 4, 1)  # products of Triton's have 16 rows or more


def case(rows: int, cols: int, rank: int, density: float = 0.4) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(rows + cols)
    mask = torch.rand(rows, cols, generator=g) < density
    return (torch.randn(rows, cols, generator=g), pack_bits(mask), mask,
            torch.randn(rank, cols, generator=g), torch.randn(rows, rank, generator=g))


def check_add(found: torch.Tensor, base: torch.Tensor | None, mask: torch.Tensor, a: torch.Tensor,
              b: torch.Tensor, scale: float) -> None:
    start = torch.zeros(mask.shape) if base is None else base
    want = start.double() + scale * mask * (b.double() @ a.double())
    size = start.double().abs() + scale * mask * (b.double().abs() @ a.double().abs())
    bound = (len(a) + 4) * EPS * size
    if found.dtype != torch.float32:  # the interpreter cuts off where a card rounds
        bound = bound + torch.finfo(found.dtype).eps * want.abs()
    assert bool(((found.double() - want).abs() <= bound).all())


def check_gradients(found: tuple[torch.Tensor, torch.Tensor], product: torch.Tensor,
                    mask: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float) -> None:
    kept = (product * mask).double()
    for got, left, right in ((found[0], b.T.double(), kept), (found[1], kept, a.T.double())):
        bound = (left.shape[1] + 16) * EPS * scale * (left.abs() @ right.abs())
        assert bool(((got.double() - scale * left @ right).abs() <= bound).all())


@pytest.mark.parametrize(("shape", "rank"), [((1, 1), 1), ((3, 7), 8), ((17, 65), 19),
                                             ((35, 70), 3), ((5, 200), 1)])
def test_odd_shapes_and_ranks(shape: tuple[int, int], rank: int) -> None:
    product, bits, mask, a, b = case(*shape, rank)
    check_add(add(product, bits, a, b, 0.7, torch.float32, config=SMALL), product, mask, a, b, 0.7)
    check_gradients(gradients(product, bits, a, b, 0.7, config=SMALL), product, mask, a, b, 0.7)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_dtype(stored: torch.dtype | None, dtype: torch.dtype) -> None:
    tile, bits, mask, a, b = case(18, 70, 4)
    base = None if stored is None else tile.to(stored)
    found = add(base, bits, a, b, 2.0, dtype, config=SMALL)
    assert found.dtype == dtype
    check_add(found, base, mask, a, b, 2.0)


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_empty_and_full_masks(density: float) -> None:
    product, bits, mask, a, b = case(20, 90, 3, density)
    check_add(add(None, bits, a, b, 1.0, torch.float32, config=SMALL), None, mask, a, b, 1.0)
    check_gradients(gradients(product, bits, a, b, 1.0, config=SMALL), product, mask, a, b, 1.0)


def test_nothing_at_all() -> None:
    product, bits, _, a, b = case(0, 90, 3)
    assert add(product, bits, a, b, 1.0, torch.float32).shape == (0, 90)
    of_a, of_b = gradients(product, bits, a, b, 1.0)
    assert of_a.shape == (3, 90) and not of_a.any() and of_b.shape == (0, 3)


@pytest.mark.parametrize("config", [*ADD, *GRADIENTS])
def test_every_way_to_divide_the_work(config: Config) -> None:
    product, bits, mask, a, b = case(20, 300, 2)
    if config in ADD:
        check_add(add(product, bits, a, b, 0.7, torch.float32, config=config), product, mask, a, b,
                  0.7)
    if config in GRADIENTS:
        check_gradients(gradients(product, bits, a, b, 0.7, config=config), product, mask, a, b,
                        0.7)


def test_strides_are_free_and_what_is_masked_is_not_seen() -> None:
    product, bits, mask, a, b = case(18, 70, 6)
    wide = torch.cat([b, b], 1)[:, :6]
    turned = product.T.contiguous().T
    assert not wide.is_contiguous() and not turned.is_contiguous()
    mask[:, 3], mask[4] = False, False
    bits = pack_bits(mask)
    clean = add(turned, bits, a, wide, 1.0, torch.float32, config=SMALL)
    check_add(clean, product, mask, a, b, 1.0)
    check_gradients(gradients(turned, bits, a, wide, 1.0, config=SMALL), product, mask, a, b, 1.0)
    a[:, 3], b[4] = float("inf"), float("nan")
    assert torch.equal(add(turned, bits, a, b, 1.0, torch.float32, config=SMALL), clean)


def test_the_tiles_take_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    product, bits, _, a, b = case(18, 70, 6)
    grads = [(torch.ones_like(a), torch.empty_like(b)) for _ in range(2)]
    with reference():
        plain = updated(product, bits, a, b, 0.5, torch.float32)
        add_gradients(product.clone(), bits, a, b, 0.5, *grads[0])
    # as if the tensors were on a card
    monkeypatch.setattr(masked_tiles, "_is_cpu", lambda tensor: False)
    monkeypatch.setattr(on_gpu, "usable", lambda device: True)
    monkeypatch.setattr(masked_tiles, "mask_rows", None)  # would fail if it were called
    found = updated(product, bits, a, b, 0.5, torch.float32)
    add_gradients(product, bits, a, b, 0.5, *grads[1])
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
    for left, right in zip(*grads, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-4)
    assert not on_gpu._failures
