"""Excitatory-inhibitory couplings: the sign of a synapse belongs to its presynaptic neuron."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from scipy import sparse

from neurosparse.dynamics.couplings import (
    Couplings,
    Storage,
    check_number,
    check_seed,
    check_size,
    store,
)
from neurosparse.dynamics.masks import bernoulli_positions
from neurosparse.errors import InputError

Dale = Literal["average", "strict"]


def ei_couplings(
    n: int,
    *,
    mean_e: float,
    mean_i: float,
    std_e: float,
    std_i: float,
    excitatory: float = 0.8,
    density: float = 1.0,
    gain: float = 1.0,
    dale: Dale = "average",
    zero_row_sums: bool = False,
    storage: Storage = "auto",
    seed: int = 0,
) -> Couplings:
    """Couplings of two populations, J = g S∘(A diag(σ) + 1 μᵀ)/√N.

    The columns (presynaptic neurons) 0 .. round(fN) - 1 are excitatory, with (μ, σ) = (mean_e,
    std_e); the others inhibitory. S is Bernoulli(density), A standard normal. This is the ensemble
    of the freezing-chaos paper (papers.md 1(b)) and of Rajan and Abbott (2006); J_ii is kept.

    Parameters
    ----------
    n
        Number of neurons N.
    mean_e, mean_i, std_e, std_i
        Mean and standard deviation of √N J_ij of a synapse that exists, before folding.
        mean_e >= 0 >= mean_i.
    excitatory
        Fraction f of excitatory neurons, in [0, 1].
    density
        Probability α that a synapse exists, in (0, 1].
    gain
        Factor g on all of it. The paper's demo has a radius of 0.84: without a gain above 1.2
        there is no chaos to freeze. See :func:`ei_radius`.
    dale
        ``"average"``: Gaussian entries, so that signs hold on average only. ``"strict"``: entries
        folded onto their sign, ±|σA + μ|; mean and variance are then those of the folded normal
        distribution, :func:`ei_moments`.
    zero_row_sums
        Subtract from the synapses of each row their mean, which removes the outlier (Rajan and
        Abbott 2006). Not with strict signs, which it would break.
    storage
        ``"auto"``: compressed rows up to density 0.5.
    seed
        Of this draw alone.

    Returns
    -------
    ndarray [N, N] or csr_array

    Raises
    ------
    InputError
        A value out of its range, or strict signs together with zero row sums.
    """
    operation = "ei_couplings"
    n = check_size(operation, n)
    _check(operation, excitatory, mean_e, mean_i, std_e, std_i, density, gain, dale)
    if zero_row_sums and dale == "strict":
        raise InputError(operation, found="zero_row_sums with dale 'strict'",
                         expected="one of the two", mend="Subtracting row means flips signs.")
    rng = np.random.default_rng(check_seed(operation, seed))
    count = round(excitatory * n)
    inhibitory = np.arange(n) >= count
    mean, std = np.where(inhibitory, mean_i, mean_e), np.where(inhibitory, std_i, std_e)
    sign = np.where(inhibitory, -1.0, 1.0)
    matrix: Any
    if density == 1.0:
        values = rng.standard_normal((n, n)) * std + mean
        matrix = np.abs(values) * sign if dale == "strict" else values
        matrix *= gain / math.sqrt(n)
        if zero_row_sums:
            matrix -= matrix.mean(axis=1, keepdims=True)
        return store(matrix, storage, 0.0, operation)
    rows, columns = np.divmod(bernoulli_positions(n * n, density, rng), n)
    values = rng.standard_normal(rows.size) * std[columns] + mean[columns]
    if dale == "strict":
        values = np.abs(values) * sign[columns]
    values *= gain / math.sqrt(n)
    if zero_row_sums:
        present = np.maximum(np.bincount(rows, minlength=n), 1)
        values -= (np.bincount(rows, weights=values, minlength=n) / present)[rows]
    matrix = sparse.csr_array((values, (rows, columns)), shape=(n, n))
    return store(matrix, storage, 1.0 - density, operation)


def ei_moments(mean: float, std: float, dale: Dale = "average") -> tuple[float, float]:
    """Mean and variance of √N J_ij of a synapse that exists.

    With ``dale="strict"`` those of the folded normal distribution |σA + μ|, the sign of ``mean``
    put back: mean σ√(2/π) exp(-μ²/2σ²) + |μ| erf(|μ|/σ√2), second moment μ² + σ².
    """
    if dale == "average" or std == 0.0:
        return mean, std * std
    size = abs(mean)
    folded = (std * math.sqrt(2.0 / math.pi) * math.exp(-0.5 * (size / std) ** 2)
              + size * math.erf(size / (std * math.sqrt(2.0))))
    return math.copysign(folded, mean), mean * mean + std * std - folded * folded


def ei_radius(
    *,
    mean_e: float,
    mean_i: float,
    std_e: float,
    std_i: float,
    excitatory: float = 0.8,
    density: float = 1.0,
    gain: float = 1.0,
    dale: Dale = "average",
    zero_row_sums: bool = False,
) -> float:
    """Radius R of the disc that the bulk of the spectrum fills as N grows.

    R² = g² Σ_p f_p [α σ_p² + α(1-α) μ_p²] over the two populations (papers.md 1(b); Rajan and
    Abbott 2006). At R > 1/φ'(0) rest is unstable. Zero row sums take the mean of a row's synapses
    off each of them, so that μ_p - Σ f μ stands for μ_p.

    Raises
    ------
    InputError
        A value out of its range.
    """
    _check("ei_radius", excitatory, mean_e, mean_i, std_e, std_i, density, gain, dale)
    # -abs: an inhibitory mean of zero folds to the negative side
    parts = [(excitatory, *ei_moments(mean_e, std_e, dale)),
             (1.0 - excitatory, *ei_moments(-abs(mean_i), std_i, dale))]
    common = sum(f * mu for f, mu, _ in parts) if zero_row_sums else 0.0
    spread = density * (1.0 - density)
    total = sum(f * (density * variance + spread * (mu - common) ** 2) for f, mu, variance in parts)
    return gain * math.sqrt(total)


def ei_outlier(
    n: int,
    *,
    mean_e: float,
    mean_i: float,
    std_e: float = 0.0,
    std_i: float = 0.0,
    excitatory: float = 0.8,
    density: float = 1.0,
    gain: float = 1.0,
    dale: Dale = "average",
    zero_row_sums: bool = False,
) -> float:
    """The eigenvalue g √N α [f μ_e + (1-f) μ_i] that leaves the disc if it is larger than R.

    ``std_e`` and ``std_i`` matter for strict signs only (folding moves the means). Zero with zero
    row sums.

    Raises
    ------
    InputError
        A value out of its range.
    """
    n = check_size("ei_outlier", n)
    _check("ei_outlier", excitatory, mean_e, mean_i, std_e, std_i, density, gain, dale)
    if zero_row_sums:
        return 0.0
    up = ei_moments(mean_e, std_e, dale)[0]
    down = ei_moments(-abs(mean_i), std_i, dale)[0]
    return gain * math.sqrt(n) * density * (excitatory * up + (1.0 - excitatory) * down)


def _check(operation: str, excitatory: float, mean_e: float, mean_i: float, std_e: float,
           std_i: float, density: float, gain: float, dale: str) -> None:
    check_number(operation, "excitatory", excitatory, 0.0, 1.0)
    check_number(operation, "mean_e", mean_e, 0.0, math.inf)
    check_number(operation, "mean_i", mean_i, -math.inf, 0.0)
    check_number(operation, "std_e", std_e, 0.0, math.inf)
    check_number(operation, "std_i", std_i, 0.0, math.inf)
    check_number(operation, "gain", gain, 0.0, math.inf)
    if not (check_number(operation, "density", density, 0.0, 1.0) > 0):
        raise InputError(operation, found=f"density {density!r}", expected="a number in (0, 1]")
    if dale not in ("average", "strict"):
        raise InputError(operation, found=f"dale {dale!r}", expected="'average' or 'strict'")
