"""Combinations of frames: every level against the twin, bit for bit, and against plain algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.frames import combine

LEVELS = kernels.levels()


def frames(rng: np.random.Generator, count: int, shape: tuple[int, int], dtype: type) -> list:
    return [np.asfortranarray(rng.standard_normal(shape).astype(dtype)) for _ in range(count)]


@given(
    seed=st.integers(0, 2**31), count=st.integers(1, 8), rows=st.integers(1, 600),
    columns=st.integers(1, 9), outputs=st.integers(1, 2), single=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_every_level_gives_the_same_bits(seed, count, rows, columns, outputs, single):
    dtype = np.float32 if single else np.float64
    rng = np.random.default_rng(seed)
    sources = frames(rng, count, (rows, columns), dtype)
    weights = np.round(rng.standard_normal((outputs, count)), 1)  # some are zero
    scale = rng.standard_normal(rows).astype(dtype)
    from_ = int(rng.integers(-1, count))
    found = []
    for level in LEVELS:
        with kernels.using(level):
            out = [np.empty_like(sources[0]) for _ in range(outputs)]
            scaled = np.empty_like(sources[0])
            combine(sources, list(zip(out, weights.tolist(), strict=True)), scale=scale,
                    scaled=scaled, scaled_from=from_)
            found.append([*out, scaled])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert np.array_equal(a, b)
    expected = np.tensordot(weights, np.array(sources, np.float64), 1)
    size = np.tensordot(np.abs(weights), np.abs(np.array(sources, np.float64)), 1)
    for o in range(outputs):
        assert (np.abs(found[0][o] - expected[o]) <= 10 * np.finfo(dtype).eps * size[o]).all()


@pytest.mark.parametrize("level", LEVELS)
def test_an_output_may_stand_on_a_source(level):
    rng = np.random.default_rng(0)
    V, S, A = frames(rng, 3, (1000, 3), np.float64)
    before = [V.copy(), S.copy(), A.copy()]
    scaled = np.empty_like(V)
    with kernels.using(level):
        combine([V, S, A], [(S, (1.0, -0.5, 0.0)), (A, (0.0, 2.0, 1.0))],
                scale=np.full(1000, 3.0), scaled=scaled, scaled_from=1)
    assert np.array_equal(S, before[0] - 0.5 * before[1])
    assert np.array_equal(A, 2.0 * before[1] + before[2])
    assert np.array_equal(scaled, 3.0 * before[1])
    assert np.array_equal(V, before[0])


@pytest.mark.skipif(len(LEVELS) == 1, reason="no compiled core")
@pytest.mark.parametrize("wrong", ["order", "shape", "type", "scale"])
def test_frames_that_do_not_fit_are_refused(wrong):
    a, b = frames(np.random.default_rng(0), 2, (5, 4), np.float64)
    scale = np.ones(5)
    if wrong == "order":
        b = np.ascontiguousarray(b)
    elif wrong == "shape":
        b = np.asfortranarray(b[:, :3])
    elif wrong == "type":
        b = np.asfortranarray(b, np.float32)
    else:
        scale = np.ones(4)
    with pytest.raises(InputError, match="frames"):
        combine([a, b], [], scale=scale, scaled=a, scaled_from=0)
