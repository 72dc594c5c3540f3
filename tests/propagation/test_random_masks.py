"""Laws of random masks against all masks of small matrices, and large ones by sampling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.propagation import (
    chain_error,
    mask_error,
    mask_variance,
    masked_chain_error,
    singular_range,
)

seeds = st.integers(0, 2**32 - 1)


def every_mask(shape: tuple[int, int], rate: float) -> list[tuple[np.ndarray, float]]:
    size = shape[0] * shape[1]
    return [(np.reshape(bits, shape), rate ** (size - sum(bits)) * (1 - rate) ** sum(bits))
            for bits in itertools.product((0, 1), repeat=size)]


@given(seeds, st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_mean_and_variance_over_all_masks(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(2, 3)), rng.normal(size=3)
    chances = np.array([p for _, p in every_mask(w.shape, rate)])
    found = np.array([np.sum(((w * m - w) @ x) ** 2) for m, _ in every_mask(w.shape, rate)])
    mean = chances @ found
    assert mask_error(w, rate, np.outer(x, x)) == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert mask_variance(w, rate, x) == pytest.approx(chances @ (found - mean) ** 2,
                                                      rel=1e-8, abs=1e-11)


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_chain_over_all_masks_of_two_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense, rates = [rng.normal(size=(2, 2)), rng.normal(size=(1, 2))], rng.random(2)
    a = rng.normal(size=(2, 3))
    expected = np.zeros(2)
    for (m, p), (n, q) in itertools.product(every_mask((2, 2), rates[0]),
                                            every_mask((1, 2), rates[1])):
        expected += p * q * chain_error(dense, [dense[0] * m, dense[1] * n], a @ a.T,
                                        backend="twin").error
    assert np.allclose(masked_chain_error(dense, rates, a @ a.T), expected, rtol=1e-9, atol=1e-12)


def test_one_layer_of_the_chain_is_mask_error_and_the_ends_are_exact() -> None:
    rng = np.random.default_rng(1)
    w, a = rng.normal(size=(4, 3)), rng.normal(size=(3, 5))
    assert masked_chain_error([w], [0.3], a @ a.T)[0] == pytest.approx(mask_error(w, 0.3, a @ a.T))
    assert mask_error(w, 0.0) == 0
    assert mask_error(w, 1.0, a @ a.T) == pytest.approx(np.sum((w @ a) ** 2))
    assert mask_variance(w, 1.0, a[:, 0]) == 0


@pytest.mark.parametrize(("rows", "columns", "rate"), [(100, 400, 0.5), (300, 200, 0.7)])
def test_singular_values_of_masked_gaussians(rows: int, columns: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(rows, columns)) / np.sqrt(columns) * (rng.random((rows, columns)) > rate)
    values = np.linalg.svd(w, compute_uv=False)
    low, high = singular_range(rows, columns, rate)
    assert low == pytest.approx(np.sqrt(1 - rate) * abs(1 - np.sqrt(rows / columns)))
    assert values[0] == pytest.approx(high, rel=0.05)
    assert values[-1] == pytest.approx(low, abs=0.05 * high)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="rate"):
        mask_error(np.eye(2), 1.5)
    with pytest.raises(InputError, match="input of shape"):
        mask_variance(np.eye(2), 0.5, [1.0])
    with pytest.raises(InputError, match="one for each"):
        masked_chain_error([np.eye(2)], [0.1, 0.2])
