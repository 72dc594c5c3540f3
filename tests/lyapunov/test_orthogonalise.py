"""QR of a frame: both methods, and what a collapsed direction becomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse.errors import InputError
from neurosparse.lyapunov.orthogonalise import METHODS, log_diagonal, orthonormalise


def frame_of(n: int, k: int, condition: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((n, k)))[0]
    right = np.linalg.qr(rng.standard_normal((k, k)))[0]
    return np.asfortranarray(left * np.geomspace(1, 1 / condition, k) @ right)


@pytest.mark.parametrize("method", METHODS)
@given(
    k=st.integers(1, 12), extra=st.integers(0, 30), digits=st.floats(0, 14),
    seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_factors(method, k, extra, digits, seed):
    frame = frame_of(k + extra, k, 10**digits, seed)
    q, upper = orthonormalise(frame.copy(order="F"), method)
    assert np.abs(q.T @ q - np.eye(k)).max() < 2e-14 * k
    assert np.abs(q @ upper - frame).max() < 1e-14 * k
    assert (np.tril(upper, -1) == 0).all()
    assert (np.diag(upper) >= 0).all()
    assert q.flags.f_contiguous


@pytest.mark.parametrize("method", METHODS)
def test_works_in_place(method):
    frame = frame_of(50, 8, 10.0, 0)
    q, _ = orthonormalise(frame, method)
    assert np.shares_memory(q, frame)


@pytest.mark.parametrize("method", METHODS)
def test_a_lost_direction_still_has_a_unit_vector(method):
    frame = frame_of(20, 4, 10.0, 1)
    frame[:, 2] = frame[:, 0] - 2 * frame[:, 1]
    q, upper = orthonormalise(frame, method)
    logs = log_diagonal(upper)
    assert np.isneginf(logs[2])
    assert np.isfinite(logs[[0, 1, 3]]).all()
    assert np.abs(q.T @ q - np.eye(4)).max() < 1e-13


@pytest.mark.parametrize("method", METHODS)
def test_zero_frames_are_all_lost(method):
    q, upper = orthonormalise(np.zeros((6, 2), order="F"), method)
    assert np.isneginf(log_diagonal(upper)).all()
    assert np.abs(q.T @ q - np.eye(2)).max() < 1e-14


def test_bad_arguments():
    with pytest.raises(InputError, match="N >= k"):
        orthonormalise(np.zeros((2, 3), order="F"))
    with pytest.raises(InputError, match="householder or cholesky"):
        orthonormalise(np.zeros((3, 2), order="F"), "gram")
