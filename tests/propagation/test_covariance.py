"""The covariance recursion against plain sums over inputs, and its invariants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.propagation import chain_error


def drawn(seed: int, depth: int = 4) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Chain, masked chain and inputs as columns."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, depth + 1)
    dense = [rng.normal(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    sparse = [w * (rng.random(w.shape) > 0.4) for w in dense]
    return dense, sparse, rng.normal(size=(int(sizes[0]), 9)) + 1.0


@given(st.integers(0, 2**32 - 1), st.sampled_from(["compiled", "twin"]))
@settings(max_examples=40, deadline=None)
def test_equals_the_mean_over_the_inputs(seed: int, backend: str) -> None:
    dense, sparse, x = drawn(seed)
    found = chain_error(dense, sparse, x @ x.T / x.shape[1], backend=backend)
    y = x
    for i, (w, v) in enumerate(zip(dense, sparse, strict=True)):
        local = np.mean(np.sum(((v - w) @ x) ** 2, axis=0))
        x, y = w @ x, v @ y
        scale = np.mean(np.sum(x**2 + y**2, axis=0)) + 1e-300
        assert abs(found.error[i] - np.mean(np.sum((y - x) ** 2, axis=0))) <= 1e-10 * scale
        assert abs(found.local[i] - local) <= 1e-10 * (scale + local)
        assert abs(found.signal[i] - np.mean(np.sum(x**2, axis=0))) <= 1e-10 * scale


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_twin_and_compiled_agree(seed: int) -> None:
    dense, sparse, _ = drawn(seed)
    ours, twin = (chain_error(dense, sparse, backend=b) for b in ("compiled", "twin"))
    for name in ("error", "local", "carried", "cross", "signal"):
        a, b = getattr(ours, name), getattr(twin, name)
        assert np.allclose(a, b, rtol=1e-11, atol=1e-11 * (np.abs(twin.local).max() + 1))


def test_orthogonal_weights_and_white_inputs_make_the_error_the_removed_energy() -> None:
    """papers.md 2 (f) 3: Wanda is magnitude, and the errors of layers add (c = 1)."""
    rng = np.random.default_rng(0)
    dense = [np.linalg.qr(rng.normal(size=(12, 12)))[0] for _ in range(3)]
    sparse = [np.where(np.abs(w) > 0.2, w, 0.0) for w in dense]
    found = chain_error(dense, sparse)
    removed = [np.sum((w - v) ** 2) for w, v in zip(dense, sparse, strict=True)]
    assert np.allclose(found.local, removed, rtol=1e-12)
    assert np.allclose(found.signal, 12, rtol=1e-12)
    # Orthogonal layers kept dense carry an error on unchanged: c = 1.
    tail = chain_error(dense, [sparse[0], *dense[1:]])
    assert np.allclose(tail.error, removed[0], rtol=1e-12)


def test_error_is_zero_where_nothing_is_removed_and_small_errors_keep_their_digits() -> None:
    dense, _, _ = drawn(3)
    assert np.all(chain_error(dense, dense).error == 0)
    w = np.eye(3)
    assert chain_error([w], [w * (1 - 2.0**-40)]).error[0] == pytest.approx(3 * 2.0**-80, rel=1e-12)


@pytest.mark.parametrize(("change", "message"), [
    ({"dense": []}, "at least one"),
    ({"sparse": [np.eye(3)]}, "shape"),
    ({"covariance": np.eye(3)}, "columns"),
    ({"covariance": np.array([[1.0, 2.0], [0.0, 1.0]])}, "symmetric"),
    ({"covariance": -np.eye(2)}, "below zero"),
    ({"backend": "fortran"}, "twin"),
    ({"dense": [np.full((2, 2), np.nan)]}, "finite"),
])
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"dense": [np.eye(2)], "sparse": [np.eye(2)]}
    with pytest.raises(InputError, match=message):
        chain_error(**{**arguments, **change})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rows of matrix 0"):
        chain_error([np.eye(2), np.eye(3)], [np.eye(2), np.eye(3)])


def test_orthogonal_chain_with_white_inputs_adds_its_errors() -> None:
    """Papers 2 (f) 3: Wanda is then magnitude, a layer's error the energy it removed, and c = 1."""
    rng = np.random.default_rng(5)
    width, depth, tokens = 12, 5, 12
    inputs = np.linalg.qr(rng.standard_normal((width, tokens)))[0]  # X X^T is the identity
    state_dense = state = inputs
    expected = 0.0
    for _ in range(depth):
        weight = np.linalg.qr(rng.standard_normal((width, width)))[0]
        score = np.abs(weight) * np.linalg.norm(state_dense, axis=1)
        assert np.array_equal(np.argsort(score, axis=1), np.argsort(np.abs(weight), axis=1))
        removed = np.where(np.abs(weight) < 0.05, weight, 0.0)
        own = float(((removed @ state_dense) ** 2).sum())
        assert own == pytest.approx(float((removed**2).sum()))
        carried = float(((weight @ (state - state_dense)) ** 2).sum())
        assert carried == pytest.approx(expected, abs=1e-12)  # c = 1
        state_dense, state = weight @ state_dense, weight @ state - removed @ state_dense
        expected = float(((state - state_dense) ** 2).sum())
