"""The exact expected error of a masked linear chain: a recursion of second moments.

theory.md section 3, row "exact": no inequality. With x_l = W_l x_{l-1} and y_l = V_l y_{l-1} from
the same input, the error e = y - x obeys e_l = V_l e_{l-1} + D_l x_{l-1}, D = V - W. Second moments
of (x, e) close on themselves. They are carried for e and not for y, so that a small error is not
the difference of two large numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.propagation import checks

Array = NDArray[np.float64]

BACKENDS = ("compiled", "twin")


@dataclass(frozen=True)
class ChainError:
    """Expected squared errors of a chain, each an array of shape (layers,).

    Attributes
    ----------
    error
        E|e_l|², ``local + carried + cross``; 0 where rounding leaves less than that.
    local
        E|D_l x_{l-1}|²: what layer l does wrong on dense input.
    carried
        E|V_l e_{l-1}|²: what arrives, sent on.
    cross
        2 E⟨V_l e_{l-1}, D_l x_{l-1}⟩, of either sign: the term that ATP's Theorem 3.2 drops.
    signal
        E|x_l|² of the dense chain.
    """

    error: Array
    local: Array
    carried: Array
    cross: Array
    signal: Array


def chain_error(
    dense: Sequence[ArrayLike], sparse: Sequence[ArrayLike], covariance: ArrayLike | None = None,
    *, backend: str = "compiled",
) -> ChainError:
    """Exact expected squared error after each layer of a linear chain.

    Parameters
    ----------
    dense, sparse : sequences of arrays, layer l of shape (n_l, n_{l-1})
        W_l and V_l; any V_l, not only a masked W_l.
    covariance : array of shape (n_0, n_0), optional
        Second moment E[x xᵀ] of the input (for inputs X as columns, X Xᵀ / count; with a mean that
        is not zero it contains the mean). The identity if not given.
    backend
        ``"compiled"`` (numba) or ``"twin"`` (NumPy, a line a formula); equal up to rounding.

    Returns
    -------
    ChainError

    Raises
    ------
    InputError
        Shapes that do not fit, numbers not finite, no covariance, an unknown backend.
    """
    pairs = checks.chain("chain_error", dense, sparse)
    size = pairs[0][0].shape[1]
    if backend not in BACKENDS:
        raise InputError("chain_error", found=f"backend {backend!r}",
                         expected="'compiled' or 'twin'")
    xx = np.eye(size) if covariance is None else checks.moment("chain_error", covariance, size)
    step = _step if backend == "compiled" else _step_twin
    ex, ee = np.zeros_like(xx), np.zeros_like(xx)
    table = np.empty((len(pairs), 4))
    for i, (w, v) in enumerate(pairs):
        args = [np.ascontiguousarray(a) for a in (w, v, xx, ex, ee)]
        xx, ex, ee, table[i] = step(*args)
    local, carried, cross, signal = table.T.copy()
    error = np.maximum(local + carried + cross, 0.0)
    return ChainError(error, local, carried, cross, signal)


def _step_twin(w: Array, v: Array, xx: Array, ex: Array, ee: Array) -> Any:
    """Moments after one layer, and (local, carried, cross, signal)."""
    d = v - w
    own, carried, mixed = d @ xx @ d.T, v @ ee @ v.T, v @ ex @ d.T
    signal = w @ xx @ w.T
    sums = np.array([np.trace(own), np.trace(carried), 2 * np.trace(mixed), np.trace(signal)])
    return signal, (v @ ex + d @ xx) @ w.T, own + carried + mixed + mixed.T, sums


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _step(w, v, xx, ex, ee):  # type: ignore[no-untyped-def]
    """Do the same, compiled; products shared between the moments are made once."""
    d = v - w
    d_xx, v_ex = np.dot(d, xx), np.dot(v, ex)
    w_t, v_t, d_t = (np.ascontiguousarray(w.T), np.ascontiguousarray(v.T),
                     np.ascontiguousarray(d.T))
    own, mixed = np.dot(d_xx, d_t), np.dot(v_ex, d_t)
    carried = np.dot(np.dot(v, ee), v_t)
    signal = np.dot(np.dot(w, xx), w_t)
    sums = np.zeros(4)
    for i in range(w.shape[0]):
        sums[0] += own[i, i]
        sums[1] += carried[i, i]
        sums[2] += 2 * mixed[i, i]
        sums[3] += signal[i, i]
    return signal, np.dot(d_xx + v_ex, w_t), own + carried + mixed + mixed.T, sums
