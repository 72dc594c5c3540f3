"""What a spectrum may not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosparse import lyapunov
from neurosparse.lyapunov import MatrixSequence

# Frames forget their start at the rate of the gaps: after 400 steps nothing of it is left, so
# whatever follows is the same to rounding.
LONG = {"warmup": 400, "duration": 400, "interval": 1.0}


def ginibre(n: int, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, n, n)) / np.sqrt(n)


def exponents(matrices, **options) -> np.ndarray:
    return lyapunov.spectrum(MatrixSequence(matrices), **{**LONG, **options}).exponents


@given(seed=st.integers(0, 10**6), n=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_sum_rule(seed, n):
    matrices = ginibre(n, 50, seed)
    found = lyapunov.spectrum(MatrixSequence(matrices), seed=seed)
    assert abs(found.exponents.sum() - np.linalg.slogdet(matrices)[1].mean()) < 1e-9
    assert (np.diff(found.exponents) <= 0).all()


@given(seed=st.integers(0, 10**6), shift=st.floats(-3, 3))
@settings(max_examples=20, deadline=None)
def test_shift(seed, shift):
    matrices = ginibre(3, 60, seed)
    plain = lyapunov.spectrum(MatrixSequence(matrices)).exponents
    moved = lyapunov.spectrum(MatrixSequence(matrices * np.exp(-shift))).exponents
    assert np.abs(moved - (plain - shift)).max() < 1e-12 * (1 + abs(shift)) + 1e-13


@given(seed=st.integers(0, 10**6), data=st.data())
@settings(max_examples=10, deadline=None)
def test_permutation_and_orthogonal_invariance(seed, data):
    n = 4
    matrices = ginibre(n, 800, seed)
    order = data.draw(st.permutations(range(n)))
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    plain = exponents(matrices)
    assert np.abs(exponents(matrices[:, order][:, :, order]) - plain).max() < 1e-8
    assert np.abs(exponents(turn @ matrices @ turn.T) - plain).max() < 1e-8


@pytest.mark.parametrize("n", [4, 36])
def test_qr_interval_and_method_do_not_matter(n):
    matrices = ginibre(n, 840, 5)
    length = {"warmup": 420, "duration": 420}
    plain = exponents(matrices, **length)[:4]
    for interval in (2, 3, 7):
        other = exponents(matrices, interval=interval, **length)[:4]
        assert np.abs(other - plain).max() < 1e-8
    chosen = lyapunov.spectrum(MatrixSequence(matrices), **length)
    assert np.abs(chosen.exponents[:4] - plain).max() < 1e-8
    steps = [np.asarray(m) for m in matrices]  # not the compiled loop
    cholesky = lyapunov.spectrum(
        MatrixSequence(steps, n), orthogonalise="cholesky", **length, interval=1
    )
    assert np.abs(cholesky.exponents[:4] - plain).max() < 1e-8


def test_start_of_the_frame_does_not_matter():
    matrices = ginibre(4, 800, 6)
    assert np.abs(exponents(matrices, seed=1) - exponents(matrices, seed=2)).max() < 1e-8


def test_same_seed_same_bits():
    matrices = ginibre(4, 800, 6)
    assert (exponents(matrices, seed=1) == exponents(matrices, seed=1)).all()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_time_reversal(seed):
    # inverse matrices in reverse order: the negated spectrum, but for ends of O(log cond / T)
    matrices = ginibre(3, 4000, seed)
    forward = exponents(matrices, warmup=0, duration=4000)
    backward = exponents(np.linalg.inv(matrices[::-1]), warmup=0, duration=4000)
    assert np.abs(forward + backward[::-1]).max() < 6e-3


def test_transpose_of_a_constant_product():
    matrix = np.random.default_rng(8).standard_normal((5, 5))
    plain = exponents(np.broadcast_to(matrix, (800, 5, 5)), warmup=0, duration=800)
    flipped = exponents(np.broadcast_to(matrix.T, (800, 5, 5)), warmup=0, duration=800)
    assert np.abs(plain - flipped).max() < 2e-2


def test_transposed_jacobians_are_told_apart_by_their_vectors():
    # the mistake of a peer: right for the exponents in the long run, wrong for what they belong to
    matrix = np.array([[2.0, 1.0], [0.0, 0.5]])
    found = lyapunov.covariant_vectors(
        MatrixSequence(lambda n: matrix, 2), samples=3, duration=50, warmup=50, interval=1
    )
    values, vectors = np.linalg.eig(matrix)
    order = np.argsort(-np.abs(values))
    overlap = np.abs(found.vectors[0].T @ vectors[:, order])
    assert np.allclose(np.diag(overlap), 1, atol=1e-9)
