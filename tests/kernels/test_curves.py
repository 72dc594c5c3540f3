"""Error curves: every level against the twin, and against the product they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse import kernels
from neurosparse.error_curves import error_curves
from neurosparse.errors import InputError

LEVELS = kernels.levels()


def _case(rows: int, columns: int, levels: int, seed: int):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((2 * columns, columns)) @ rng.standard_normal((columns, columns))
    weight = rng.standard_normal((rows, columns)).astype(np.float32)
    order = np.argsort(rng.random((rows, columns)), axis=1)
    counts = np.sort(rng.integers(0, columns + 1, (rows, levels)), axis=1)
    return inputs.astype(np.float32), weight, order, counts


@given(st.integers(0, 9), st.integers(1, 70), st.integers(0, 6), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_levels_agree_with_each_other_and_with_the_products(rows, columns, levels, seed):  # type: ignore[no-untyped-def]
    inputs, weight, order, counts = _case(rows, columns, levels, seed)
    gram = (inputs.T @ inputs).astype(np.float32)
    found = {}
    for level in LEVELS:
        with kernels.using(level):
            found[level] = error_curves(weight, gram, order, counts)
    plain = np.zeros(levels)
    for at in range(levels):
        gone = np.zeros_like(weight, np.float64)
        for row in range(rows):
            gone[row, order[row, : counts[row, at]]] = weight[row, order[row, : counts[row, at]]]
        plain[at] = (inputs.astype(np.float64) @ gone.T).__pow__(2).sum()
    size = float(np.abs(weight).sum() ** 2 * np.abs(gram).max()) + 1e-30
    for one in found.values():
        assert np.allclose(one, plain, rtol=1e-4, atol=1e-6 * size)
    compiled = [found[level] for level in LEVELS if level != "twin"]
    assert all(np.array_equal(one, compiled[0]) for one in compiled)


@pytest.mark.parametrize("level", LEVELS)
def test_what_does_not_fit_is_refused(level: str) -> None:
    inputs, weight, order, counts = _case(3, 8, 2, 0)
    gram = inputs.T @ inputs
    with kernels.using(level):
        for wrong in ((weight, gram[:4], order, counts), (weight, gram, order + 1, counts),
                      (weight, gram, order, counts[:, ::-1] * [[1, 0]] + [[1, 0]]),
                      (weight, gram, order, counts + 9), (weight, gram, order[:2], counts),
                      (weight, gram, order, counts[:2])):
            with pytest.raises(InputError, match="error curves"):
                error_curves(*wrong)
