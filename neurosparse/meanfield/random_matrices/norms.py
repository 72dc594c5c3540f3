"""Jacobians of RMSNorm, LayerNorm and softmax, and their singular values without forming them."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside

Array = NDArray[np.float64]
Kind = Literal["rms", "layer"]


def norm_jacobian(x: ArrayLike, kind: Kind, *, gain: ArrayLike = 1.0, eps: float = 0.0) -> Array:
    """Jacobian of RMSNorm or LayerNorm at x, [d, d].

    diag(gain) (P - y yᵀ/d) / r with r = √(mean square + eps), y = P x / r; P = I for RMSNorm, and
    P = I - 11ᵀ/d with the variance for the mean square for LayerNorm.

    Parameters
    ----------
    x
        The state, [d].
    kind
        ``"rms"`` or ``"layer"``.
    gain
        Elementwise gain, number or [d].
    eps
        As in the layer, >= 0.

    Raises
    ------
    InputError
        A state that is not a finite vector or that the norm cannot divide by.
    """
    state, r, _ = _normalise("norm_jacobian", x, kind, eps)
    d = state.size
    centre = np.eye(d) - (1 / d if kind == "layer" else 0.0)
    inner = centre - np.outer(state, state) / (d * r * r)
    scale = array("norm_jacobian", "gain", gain)
    if scale.shape not in ((), (d,)):
        raise InputError("norm_jacobian", found=f"a gain of shape {scale.shape}",
                         expected=f"a number or [{d}]")
    return np.asarray(np.broadcast_to(scale, (d,))[:, None] * inner / r)


def norm_singular_values(x: ArrayLike, kind: Kind, *, eps: float = 0.0) -> Array:
    """Singular values of the Jacobian for unit gain, descending, [d].

    RMSNorm: 1/r, d-1 times, and eps/r³ along x, which is zero for eps = 0. LayerNorm: 1/r, d-2
    times, eps/r³, and zero along (1, ..., 1). With an elementwise gain all are at most max|gain|
    times as large (a bound).

    Raises
    ------
    InputError
        A state that is not a finite vector or that the norm cannot divide by.
    """
    state, r, _ = _normalise("norm_singular_values", x, kind, eps)
    d, zeros = state.size, 1 if kind == "layer" else 0
    values = np.full(d, 1 / r)
    # r² - mean square = eps, without the cancellation.
    along = eps / r**3
    values[d - 1 - zeros:] = 0.0
    values[d - 1 - zeros] = along
    return values


def softmax_jacobian(logits: ArrayLike, *, temperature: float = 1.0) -> Array:
    """(diag(p) - p pᵀ)/T, [n, n].

    Raises
    ------
    InputError
        Logits that are not a vector of numbers below infinity, or a temperature not above zero.
    """
    p = _softmax("softmax_jacobian", logits, temperature)
    return np.asarray((np.diag(p) - np.outer(p, p)) / temperature)


def softmax_bound(logits: ArrayLike | None = None, *, temperature: float = 1.0) -> float:
    """Upper bound of the spectral norm of the softmax Jacobian.

    Without logits 1/(2T), which holds for all logits and is attained at p = (½, ½). With logits
    the bound of Gershgorin's discs at this point, 2 max p(1-p)/T, which is never above it.

    Raises
    ------
    InputError
        As :func:`softmax_jacobian`.
    """
    if logits is None:
        return 0.5 / inside("softmax_bound", "temperature", temperature, 0, open_low=True)
    p = _softmax("softmax_bound", logits, temperature)
    return float(2 * np.max(p * (1 - p)) / temperature)


def _softmax(operation: str, logits: ArrayLike, temperature: float) -> Array:
    inside(operation, "temperature", temperature, 0, open_low=True)
    z = array(operation, "logits", logits)
    if z.ndim != 1 or not z.size or not math.isfinite(z.max()):
        raise InputError(operation, found=f"logits of shape {z.shape}, some NaN or infinite"
                         if z.ndim == 1 else f"logits of shape {z.shape}",
                         expected="a vector of numbers, at least one of them finite")
    weights = np.exp((z - z.max()) / temperature)
    return np.asarray(weights / weights.sum())


def _normalise(operation: str, x: ArrayLike, kind: str, eps: float) -> tuple[Array, float, float]:
    state = array(operation, "x", x)
    if kind not in ("rms", "layer"):
        raise InputError(operation, found=f"kind {kind!r}", expected="'rms' or 'layer'")
    if state.ndim != 1 or state.size < 2 or not np.all(np.isfinite(state)):
        raise InputError(operation, found=f"a state of shape {state.shape}",
                         expected="a finite vector of at least two units")
    inside(operation, "eps", eps, 0)
    if kind == "layer":
        state = state - state.mean()
    square = float(np.mean(state**2))
    if square + eps == 0:
        raise InputError(operation, found="a state without variance and eps 0",
                         expected="something to divide by")
    return state, math.sqrt(square + eps), square
