"""ATP's Theorem 3.5 and its recursion in numbers: which order of rates is best.

L_{i+1} = c L_i + f(s_{i+1}) unrolls to the total T = Σ w_i f(s_i) with weights that fall with depth
for every c > 0. Hence the true theorem: among all orders of the *same* rates the ascending one is
best (rearrangement). Against every scheme of the same *mean* it is not
(``counterexamples.equal_mean()``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.propagation import checks

Array = NDArray[np.float64]


def depth_weights(layers: int, amplification: float) -> Array:
    """w_i = 1 + c + ... + c^(L-i), i = 1..L; strictly decreasing, shape (layers,).

    Raises
    ------
    InputError
        No layer, or an amplification c that is not above zero.
    """
    if layers < 1 or not (np.isfinite(amplification) and amplification > 0):
        raise InputError("depth_weights",
                         found=f"{layers} layers, amplification {amplification!r}",
                         expected="at least one layer and a finite amplification above zero")
    return np.cumsum(amplification ** np.arange(layers, dtype=float))[::-1].copy()


def total_error(rates: ArrayLike, amplification: float, local: Callable[[float], float]) -> float:
    """T = Σ_i L_i of the recursion, by the recursion itself.

    Parameters
    ----------
    rates : array of shape (layers,)
    amplification
        c > 0.
    local
        f(s), the error that a layer makes by itself.

    Raises
    ------
    InputError
        As ``depth_weights``; rates outside [0, 1].
    """
    s = _rates("total_error", rates)
    depth_weights(s.size, amplification)
    error = total = 0.0
    for rate in s:
        error = amplification * error + local(float(rate))
        total += error
    return total


def theorem_35(rates: ArrayLike, amplification: float, local: Callable[[float], float]
               ) -> tuple[float, float]:
    """Total of the ascending order of these rates, and of the order given, never below it.

    True version of Theorem 3.5. Conditions: c > 0, and f does not fall over the rates given.

    Raises
    ------
    InputError
        A condition does not hold (checked at the rates themselves, which is all that is needed).
    """
    s = _rates("theorem_35", rates)
    ascending = np.sort(s)
    values = np.array([local(float(rate)) for rate in ascending])
    if not np.all(np.isfinite(values)) or np.any(np.diff(values) < 0):
        raise InputError("theorem_35", found="a local error that falls as the rate grows",
                         expected="f not decreasing over the rates")
    return (total_error(ascending, amplification, local), total_error(s, amplification, local))


def swap_gain(first: float, second: float, amplification: float,
              local: Callable[[float], float]) -> float:
    """What exchanging the rates of two neighbours saves in their common total: c (f(a) - f(b)).

    Positive where the first is the sparser one; the step of the proof of Theorem 3.5.
    """
    return amplification * (local(first) - local(second))


def best_square_step(layers: int, sparsity: float, amplification: float) -> float:
    """Best step of an arithmetic progression for f(s) = s², clipped to the legal interval.

    β* = -S Σ w_i d_i / Σ w_i d_i², d_i = i - (L+1)/2; legal: 0 <= s_i <= 1.

    Raises
    ------
    InputError
        Fewer than two layers, a rate outside (0, 1), an illegal amplification.
    """
    if layers < 2 or not 0 < sparsity < 1:
        raise InputError("best_square_step", found=f"{layers} layers, sparsity {sparsity!r}",
                         expected="two layers or more and a rate in (0, 1)")
    w = depth_weights(layers, amplification)
    if not np.isfinite(w[0]):  # only their ratios count: divided by c^(L-1), which overflows
        powers = np.arange(layers, dtype=float) - (layers - 1)
        w = np.cumsum(amplification ** powers)[::-1]
    d = np.arange(layers) - (layers - 1) / 2
    bound = 2 * min(sparsity, 1 - sparsity) / (layers - 1)
    return float(np.clip(-sparsity * (w @ d) / (w @ d**2), -bound, bound))


def best_square_rates(layers: int, sparsity: float, amplification: float) -> Array:
    """Best rates of all with this mean for f(s) = s²: s_i = min(1, λ/(2 w_i)), shape (layers,).

    λ is found from the number of layers at the bound, without iteration.

    Raises
    ------
    InputError
        A rate outside [0, 1], or as ``depth_weights``.
    """
    w = depth_weights(layers, amplification)
    if not 0 <= sparsity <= 1:
        raise InputError("best_square_rates", found=f"sparsity {sparsity!r}",
                         expected="a rate in [0, 1]")
    rates = np.ones(layers)
    for full in range(layers):
        # Weights fall, so it is the last layers that reach one.
        inverse = 1 / w[: layers - full]
        trial = inverse * (sparsity * layers - full) / inverse.sum()
        if trial[-1] <= 1:
            rates[: layers - full] = trial
            break
    return rates


def _rates(operation: str, rates: ArrayLike) -> Array:
    s = checks.numbers(operation, "rates", rates)
    if s.ndim != 1 or not s.size or not np.all((s >= 0) & (s <= 1)):
        raise InputError(operation, found=f"rates of shape {s.shape}, not all in [0, 1]",
                         expected="one rate in [0, 1] for each layer")
    return s
