"""Covariant vectors against what they have to be."""

from __future__ import annotations

import numpy as np
import pytest

from neurosparse import lyapunov
from neurosparse.errors import InputError
from neurosparse.lyapunov import MatrixSequence, gallery

GROWTH = np.array([2.0, 1.2, 0.7, 0.3])


def constant(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.random.default_rng(seed).standard_normal((4, 4))
    vectors /= np.linalg.norm(vectors, axis=0)
    return vectors @ np.diag(GROWTH) @ np.linalg.inv(vectors), vectors


@pytest.mark.parametrize("interval", [1, 3])
def test_row_15_vectors_are_eigenvectors_and_exponents_agree_with_qr(interval):
    matrix, vectors = constant()
    product = MatrixSequence(lambda n: matrix, 4)
    found = lyapunov.covariant_vectors(
        product, samples=20, backward=100, duration=200, warmup=200, interval=interval
    )
    assert np.abs(found.exponents - np.log(GROWTH)).max() < 1e-9
    overlap = np.abs(np.einsum("mni,ni->mi", found.vectors, vectors))
    assert np.abs(overlap - 1).max() < 1e-9
    by_qr = lyapunov.spectrum(product, duration=200, warmup=200, interval=interval)
    assert np.abs(found.exponents - by_qr.exponents).max() < 1e-9


def test_fewer_vectors_are_the_first_ones():
    matrix, vectors = constant(1)
    found = lyapunov.covariant_vectors(
        MatrixSequence(lambda n: matrix, 4), 2, samples=5, duration=100, warmup=200, interval=1
    )
    assert found.vectors.shape == (5, 4, 2)
    assert np.abs(np.abs(found.vectors[0].T @ vectors[:, :2]).diagonal() - 1).max() < 1e-9


def test_vectors_are_carried_into_one_another():
    matrices = np.random.default_rng(2).standard_normal((700, 3, 3))
    found = lyapunov.covariant_vectors(
        MatrixSequence(matrices), samples=100, backward=200, duration=300, interval=1
    )
    for block in range(99):
        carried = matrices[300 + block] @ found.vectors[block]
        lengths = np.linalg.norm(carried, axis=0)
        assert np.allclose(np.log(lengths), found.logs[block], atol=1e-9)
        overlap = np.abs(np.sum(carried / lengths * found.vectors[block + 1], axis=0))
        assert np.abs(overlap - 1).max() < 1e-9


def test_lorenz_neutral_vector_is_the_flow():
    found = lyapunov.spectrum(gallery.lorenz63(), duration=100, covariant=True, interval=0.1)
    covariant = found.covariant
    assert abs(covariant.exponents[1]) < 0.2
    assert abs(covariant.exponents.sum() + 41 / 3) < 0.02 * 41 / 3
    # the first sample is at the state where the spectrum ended
    x, lorenz = found.state["x"], gallery.lorenz63()
    speed = np.zeros(3)
    lorenz.advance.py_func(0.0, x, speed, lorenz.parameters)
    overlap = abs(covariant.vectors[0][:, 1] @ speed) / np.linalg.norm(speed)
    assert overlap > 1 - 1e-6
    assert (covariant.angles >= 0).all()
    assert (covariant.splitting(2) > 1e-3).all()
    with pytest.raises(InputError, match="index=3"):
        covariant.splitting(3)


def test_refusals():
    matrix, _ = constant()
    product = MatrixSequence(lambda n: matrix, 4)
    with pytest.raises(InputError, match="samples=0"):
        lyapunov.covariant_vectors(product, samples=0, duration=10)
    singular = MatrixSequence(lambda n: np.diag([1.0, 0.5, 0.0]), 3)
    with pytest.raises(InputError, match="lost a direction"):
        lyapunov.covariant_vectors(singular, duration=10)
    short = MatrixSequence(np.broadcast_to(matrix, (30, 4, 4)))
    with pytest.raises(InputError, match="ended"):
        lyapunov.covariant_vectors(short, duration=20, samples=20)
