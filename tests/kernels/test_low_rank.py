"""Masked products of low rank: all levels give the twin's bits, and what they stand for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.low_rank import low_rank_add, low_rank_grad

EPS = float(np.finfo(np.float32).eps)


class Case(NamedTuple):
    a: Any
    b: Any
    tile: Any
    mask: Any
    bitmap: Any


def make(rows: int, cols: int, rank: int, density: float = 0.4, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, cols)) < density

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    return Case(normal(rank, cols), normal(rows, rank), normal(rows, cols), mask,
                kernels.pack_mask(mask))


def halves(floats: Any) -> Any:
    """bfloat16 by cutting off, exactly representable where the lower bits are zero."""
    return (floats.view(np.uint32) >> 16).astype(np.uint16)


def widened(bits: Any) -> Any:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def everything(case: Case, scale: float) -> dict[str, Any]:
    """All outputs of both kernels at the level in use."""
    a, b, tile, _, bitmap = case
    short = np.empty(tile.shape, np.uint16)
    low_rank_add(a, b, bitmap, scale, base=halves(tile), out=short)
    grad_a, grad_b = a.copy(), np.full_like(b, np.nan)
    low_rank_grad(tile, a, b, bitmap, scale, grad_a=grad_a, grad_b=grad_b)
    return {"alone": low_rank_add(a, b, bitmap, scale), "short": short, "grad_a": grad_a,
            "full": low_rank_add(a, b, bitmap, scale, base=tile), "grad_b": grad_b}


def within(found: Any, exact: Any, size: Any, terms: int) -> None:
    assert np.all(np.abs(found - exact) <= (terms + 4) * EPS * size + 1e-37)


def check(case: Case, scale: float, found: dict[str, Any]) -> None:
    a, b, tile, mask = (array.astype(np.float64) for array in case[:4])
    rank, scale = len(a), float(np.float32(scale))
    update, size = scale * (b @ a) * mask, scale * (np.abs(b) @ np.abs(a)) * mask
    within(found["alone"], update, size, rank)
    within(found["full"], tile + update, np.abs(tile) + size, rank)
    short = widened(halves(case.tile)) + update
    assert np.all(np.abs(widened(found["short"]) - short) <= 2.0**-8 * np.abs(short) + EPS * size
                  * (rank + 4))
    kept = tile * mask
    within(found["grad_b"], scale * kept @ a.T, scale * np.abs(kept) @ np.abs(a).T, tile.shape[1])
    within(found["grad_a"], a + scale * b.T @ kept,
           np.abs(a) + scale * np.abs(b).T @ np.abs(kept), len(tile))


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(0, 20), cols=st.integers(0, 300), rank=st.integers(1, 13),
       density=st.sampled_from([0.0, 0.1, 0.5, 1.0]), seed=st.integers(0, 2**31),
       scale=st.floats(0.1, 3.0))
def test_all_levels_give_the_twins_bits(rows: int, cols: int, rank: int, density: float, seed: int,
                                        scale: float) -> None:
    case = make(rows, cols, rank, density, seed)
    seen = set()
    for name in kernels.levels():
        with kernels.using(name):
            found = everything(case, scale)
        check(case, scale, found)
        seen.add(b"|".join(array.tobytes() for array in found.values()))
    assert len(seen) == 1


def test_wide_rows_and_many_of_them(level: str) -> None:
    case = make(300, 1100, 9)
    check(case, 0.5, everything(case, 0.5))


def test_threads_change_nothing(level: str, restored_threads: None) -> None:
    case, seen = make(150, 700, 8), set()
    for count in (1, 2, 5):
        kernels.set_threads(count)
        found = everything(case, 0.5)
        seen.add(b"|".join(array.tobytes() for array in found.values()))
    assert len(seen) == 1


def test_two_callers_at_once(level: str) -> None:
    cases = [make(90, 500, 8, seed=seed) for seed in range(2)]
    alone = [everything(case, 0.5) for case in cases]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            both = list(pool.map(lambda case: everything(case, 0.5), cases))
            for left, right in zip(alone, both, strict=True):
                assert all(np.array_equal(left[name], right[name]) for name in left)


def test_onto_the_base_itself(level: str) -> None:
    a, b, tile, _, bitmap = make(9, 130, 3)
    apart = low_rank_add(a, b, bitmap, 2.0, base=tile)
    assert low_rank_add(a, b, bitmap, 2.0, base=tile, out=tile) is tile
    assert np.array_equal(tile, apart)


def test_what_is_masked_is_not_seen(level: str) -> None:
    a, b, tile, mask, bitmap = make(6, 70, 3)
    a[:, 5], b[2] = np.inf, np.nan
    mask[:, 5], mask[2], tile[3, 5] = False, False, np.nan
    bitmap = kernels.pack_mask(mask)
    base = np.where(mask, tile, np.float32(7))
    found = low_rank_add(a, b, bitmap, 1.0, base=base)
    assert np.isfinite(found).all() and (found[~mask] == 7).all()
    grad_a, grad_b = np.zeros_like(a), np.empty_like(b)
    low_rank_grad(tile, np.ones_like(a), np.ones_like(b), bitmap, 1.0, grad_a=grad_a,
                  grad_b=grad_b)
    assert np.isfinite(grad_a).all() and np.isfinite(grad_b).all()
    assert not grad_a[:, 5].any() and not grad_b[2].any()


def test_what_does_not_fit_is_refused(level: str) -> None:
    a, b, tile, _, bitmap = make(6, 70, 3)
    wrong: list[tuple[Any, ...]] = [
        (a[:, :64], b, bitmap, tile), (a[:2], b, bitmap, tile), (a, b[:5], bitmap, tile),
        (a, b, bitmap[:, :8], tile), (a, b, bitmap, tile[:, :69]), (a, b, bitmap, tile[:5]),
        (a.astype(np.float64), b, bitmap, tile), (a, b, bitmap, tile.astype(np.float64)),
        (a, b, bitmap, tile.T.copy().T)]
    for one, other, bits, base in wrong:
        with pytest.raises(InputError, match="masked product"):
            low_rank_add(one, other, bits, 1.0, base=base, out=np.empty_like(tile))
        with pytest.raises(InputError, match="masked product"):
            low_rank_grad(base, one, other, bits, 1.0, grad_a=np.zeros_like(a),
                          grad_b=np.empty_like(b))
    for grad_a, grad_b in ((a[:2].copy(), b.copy()), (a.copy(), b[:, :2].copy()),
                           (a.astype(np.float64), b.copy())):
        with pytest.raises(InputError, match="masked product"):
            low_rank_grad(tile, a, b, bitmap, 1.0, grad_a=grad_a, grad_b=grad_b)


def test_a_base_that_overlaps_is_refused(level: str) -> None:
    a, b, _, _, bitmap = make(6, 70, 3)
    room = np.zeros((7, 70), np.float32)
    with pytest.raises(InputError, match="overlap"):
        low_rank_add(a, b, bitmap, 1.0, base=room[:6], out=room[1:])
