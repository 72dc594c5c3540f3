"""Gaussian couplings: independent or with reciprocal correlation (elliptic), masked or full."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurosparse.dynamics.couplings import (
    Couplings,
    Storage,
    check_number,
    check_seed,
    check_size,
    store,
)
from neurosparse.dynamics.masks import bernoulli_positions, pair_of

Array = NDArray[np.float64]


def gaussian_couplings(
    n: int,
    gain: float,
    *,
    symmetry: float = 0.0,
    sparsity: float = 0.0,
    diagonal: bool = False,
    rescale: bool = False,
    storage: Storage = "auto",
    seed: int = 0,
) -> Couplings:
    """Random couplings J_ij ~ N(0, g²/N), elliptic where ``symmetry`` is not zero.

    Parameters
    ----------
    n
        Number of neurons N.
    gain
        g. The spectrum fills the ellipse with half axes g(1 + η) and g(1 - η) (Sommers et al.
        1988), a disc of radius g at η = 0.
    symmetry
        η in [-1, 1], the correlation of J_ij and J_ji.
    sparsity
        Probability s in [0, 1) that a synapse is absent. With η = 0 each J_ij is kept or not by
        itself; with η ≠ 0 the two of a pair are kept or not together, so that η stays.
    diagonal
        Whether neurons couple to themselves (variance g²/N); False as in the paper.
    rescale
        Divide by √(1 - s), so that the variance of an entry is g²/N after masking.
    storage
        ``"auto"``: compressed rows from s = 0.5 on. The same seed gives the same numbers in every
        storage.
    seed
        Of this draw alone.

    Returns
    -------
    ndarray [N, N] or csr_array

    Raises
    ------
    InputError
        A value out of its range.
    """
    operation = "gaussian_couplings"
    n = check_size(operation, n)
    gain = check_number(operation, "gain", gain, 0.0, math.inf)
    eta = check_number(operation, "symmetry", symmetry, -1.0, 1.0)
    sparsity = check_number(operation, "sparsity", sparsity, 0.0, 1.0, open_high=True)
    rng = np.random.default_rng(check_seed(operation, seed))
    scale = gain / math.sqrt(n * (1.0 - sparsity) if rescale else n)
    matrix: Any
    if sparsity == 0.0:
        matrix = _full(n, eta, rng)
        matrix *= scale
        if not diagonal:
            np.fill_diagonal(matrix, 0.0)
    else:
        matrix = _masked(n, eta, 1.0 - sparsity, diagonal, rng)
        matrix.data *= scale
    return store(matrix, storage, sparsity, operation)


def _mixing(eta: float) -> tuple[float, float]:
    """(a, b) with J_ij = a z + b z', J_ji = b z + a z', so that a² + b² = 1 and 2ab = η."""
    plus, minus = math.sqrt(1.0 + eta), math.sqrt(1.0 - eta)
    return 0.5 * (plus + minus), 0.5 * (plus - minus)


def _full(n: int, eta: float, rng: np.random.Generator) -> Array:
    drawn = rng.standard_normal((n, n))
    if eta == 0.0:
        return drawn
    a, b = _mixing(eta)
    own = drawn.diagonal().copy()
    mixed = a * drawn + b * drawn.T
    # a + b is not 1: a diagonal entry has no partner and keeps unit variance
    np.fill_diagonal(mixed, own)
    return mixed


def _masked(n: int, eta: float, density: float, diagonal: bool, rng: np.random.Generator) -> Any:
    if eta == 0.0:
        positions = bernoulli_positions(n * n, density, rng)
        rows, columns = np.divmod(positions, n)
        values = rng.standard_normal(positions.size)
        if not diagonal:
            off = rows != columns
            rows, columns, values = rows[off], columns[off], values[off]
        return sparse.csr_array((values, (rows, columns)), shape=(n, n))
    i, j = pair_of(bernoulli_positions(n * (n - 1) // 2, density, rng), n)
    a, b = _mixing(eta)
    first, second = rng.standard_normal((2, i.size))
    down, across = [i, j], [j, i]
    parts = [a * first + b * second, b * first + a * second]
    if diagonal:
        own = bernoulli_positions(n, density, rng)
        down.append(own)
        across.append(own)
        parts.append(rng.standard_normal(own.size))
    where = (np.concatenate(down), np.concatenate(across))
    return sparse.csr_array((np.concatenate(parts), where), shape=(n, n))
