"""Laws for masks drawn without looking at the weights: each is removed with probability s.

V = M∘W, M independent Bernoulli(1-s). Expectations and variances here are over the masks, exact for
any weights. The singular values are a law of large Gaussian matrices and no bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield import masked_edges
from neurosparse.propagation import checks

Array = NDArray[np.float64]


def mask_error(weight: ArrayLike, rate: float, covariance: ArrayLike | None = None) -> float:
    """E|(V - W) x|² = s² tr(W C Wᵀ) + s(1-s) Σ W_ij² C_jj.

    Parameters
    ----------
    weight : array of shape (rows, columns)
    rate
        s in [0, 1].
    covariance : array of shape (columns, columns), optional
        Second moment C = E[x xᵀ]; the identity if not given.

    Raises
    ------
    InputError
        A rate outside [0, 1], no covariance, shapes that do not fit.
    """
    w = checks.matrix("mask_error", "weight", weight)
    s = _rate("mask_error", rate)
    c = (np.eye(w.shape[1]) if covariance is None
         else checks.moment("mask_error", covariance, w.shape[1]))
    return float(s**2 * np.sum((w @ c) * w) + s * (1 - s) * np.sum(w**2 * np.diag(c)))


def mask_variance(weight: ArrayLike, rate: float, x: ArrayLike) -> float:
    """Variance of |(V - W) x|² over masks, for one input.

    Row i errs by the sum of a_j = W_ij x_j over its removed weights, with mean μ = s Σ a and
    cumulants κ2 = s(1-s) Σ a², κ3 = s(1-s)(1-2s) Σ a³, κ4 = s(1-s)(1-6s(1-s)) Σ a⁴; its square has
    the variance 4 μ² κ2 + 4 μ κ3 + 2 κ2² + κ4, and rows are independent.

    Parameters
    ----------
    weight : array of shape (rows, columns)
    rate
        s in [0, 1].
    x : array of shape (columns,)

    Raises
    ------
    InputError
        A rate outside [0, 1], shapes that do not fit, an input that is not finite.
    """
    w = checks.matrix("mask_variance", "weight", weight)
    s = _rate("mask_variance", rate)
    state = checks.vector("mask_variance", "an input", x, w.shape[1])
    a, v = w * state, s * (1 - s)
    mean, k2 = s * a.sum(axis=1), v * np.sum(a**2, axis=1)
    k3, k4 = v * (1 - 2 * s) * np.sum(a**3, axis=1), v * (1 - 6 * v) * np.sum(a**4, axis=1)
    return float(np.sum(4 * mean**2 * k2 + 4 * mean * k3 + 2 * k2**2 + k4))


def masked_chain_error(dense: Sequence[ArrayLike], rates: ArrayLike,
                       covariance: ArrayLike | None = None) -> Array:
    """E|e_l|² after each layer of a linear chain, over inputs and independent masks, (layers,).

    Exact: with y the sparse state, e_l = W e_{l-1} + D y_{l-1}, E D = -s W and
    E[D Y Dᵀ] = s² W Y Wᵀ + s(1-s) diag(W∘W diag Y).

    Parameters
    ----------
    dense : sequence of arrays, layer l of shape (n_l, n_{l-1})
    rates : array of shape (layers,)
        s_l in [0, 1].
    covariance : array of shape (n_0, n_0), optional
        Second moment of the input; the identity if not given.

    Raises
    ------
    InputError
        A rate outside [0, 1], one for each layer not given, shapes that do not fit.
    """
    pairs = checks.chain("masked_chain_error", dense, dense)
    s = checks.numbers("masked_chain_error", "rates", rates)
    if s.shape != (len(pairs),):
        raise InputError("masked_chain_error", found=f"rates of shape {s.shape}",
                         expected=f"({len(pairs)},), one for each layer")
    size = pairs[0][0].shape[1]
    xx = (np.eye(size) if covariance is None
          else checks.moment("masked_chain_error", covariance, size))
    ex, ee, found = np.zeros_like(xx), np.zeros_like(xx), np.empty(len(pairs))
    for i, (w, _) in enumerate(pairs):
        rate = _rate("masked_chain_error", float(s[i]))
        ey, yy = ee + ex, xx + ex + ex.T + ee
        mixed = -rate * (w @ ey @ w.T)
        spread = rate * (1 - rate) * np.diag((w**2) @ np.diag(yy))
        ee = w @ ee @ w.T + mixed + mixed.T + rate**2 * (w @ yy @ w.T) + spread
        ex = w @ ex @ w.T - rate * (w @ (xx + ex) @ w.T)
        xx = w @ xx @ w.T
        found[i] = max(0.0, float(np.trace(ee)))  # rounding can leave less than nothing
    return found


def singular_range(rows: int, columns: int, rate: float, *, gain: float = 1.0
                   ) -> tuple[float, float]:
    """Edges g √(1-s) |1 ∓ √(m/n)| of the singular values of a masked Gaussian matrix.

    Entries have variance g²/n before masking. The large-size law (Marchenko and Pastur 1967):
    finite matrices deviate by a relative size^(-2/3), so this is an estimate and no bound.

    Raises
    ------
    InputError
        A value out of its range.
    """
    return masked_edges(rows, columns, sparsity=rate, gain=gain)


def _rate(operation: str, rate: float) -> float:
    found = checks.numbers(operation, "rate", rate)
    if found.ndim or not 0 <= found <= 1:
        raise InputError(operation, found=f"rate {rate!r}", expected="a rate in [0, 1]")
    return float(found)
