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
                      (weight, gram, order, counts[:2]), (weight[0], gram, order, counts)):
            with pytest.raises(InputError, match="error curves"):
                error_curves(*wrong)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("wrong", "words"), [
    ({"order": [[2**32, 1]]}, "columns 1 to 4294967296"),
    ({"order": [[0.9, 1.2]]}, "order of float"), ({"order": [[1, 1]]}, "column twice"),
    ({"order": [[-1, 1]]}, "columns -1"), ({"counts": [[0.5, 1.9]]}, "counts of float"),
    ({"counts": [[2**63, 2**63]]}, "counts that"),
    ({"counts": [[-1, 2]]}, "counts that"), ({"weight": [[1.0, np.nan]]}, "a weight with NaN"),
    ({"weight": [[1e300, 1.0]]}, "a weight with NaN"),
    ({"gram": [[1.0, np.inf], [np.inf, 1.0]]}, "a gram with NaN"),
])
def test_numbers_that_a_cast_would_bend_are_refused(level: str, wrong: dict[str, object],
                                                    words: str) -> None:
    """Indices that wrap or lose their fraction, columns twice, and what is not finite."""
    good = {"weight": [[1.0, 2.0]], "gram": np.eye(2), "order": [[0, 1]], "counts": [[1, 2]]}
    with kernels.using(level):
        assert error_curves(**good).tolist() == [1.0, 5.0]  # type: ignore[arg-type]
        with pytest.raises(InputError, match=words):
            error_curves(**(good | wrong))  # type: ignore[arg-type]
