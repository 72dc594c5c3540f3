"""What a network is driven with, as a function of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]
Signal = Callable[[float], float]

SIGNALS = ("noise", "sine", "sines")
# Apart from the streams of couplings, start and noise.
_SIGNAL = 201
# Ratios of frequencies no two of which are commensurate with small whole numbers.
_RATIOS = (1.0, math.sqrt(2.0), (1.0 + math.sqrt(5.0)) / 2.0)


def make_signal(signal: Any, *, step: float, period: float, count: int, seed: int) -> Signal:
    """The signal as a function of time.

    ``"sine"``: sin(2πt/period), variance 1/2. ``"sines"``: the mean of three with incommensurate
    frequencies. ``"noise"``: a fresh number from U(-1, 1) each step, held during it, variance 1/3.
    An array [count] is held step by step; a function of time is taken as it is.

    Raises
    ------
    InputError
        An unknown name, an array of another length, a signal that is not finite.
    """
    if callable(signal):
        return signal  # type: ignore[no-any-return]
    named = isinstance(signal, str)
    if signal is None or (named and signal not in SIGNALS):
        raise InputError("task", found=f"signal = {signal!r}",
                         expected=f"one of {SIGNALS}, an array, or a function of time")
    if named and signal != "noise":
        if not 0.0 < period < math.inf:
            raise InputError("task", found=f"period = {period}", expected="a finite time > 0")
        ratios = _RATIOS if signal == "sines" else (1.0,)
        rates = [2.0 * math.pi * ratio / period for ratio in ratios]
        return lambda t: sum(math.sin(rate * t) for rate in rates) / len(rates)
    if named:
        values = np.random.default_rng([seed, _SIGNAL]).uniform(-1.0, 1.0, count)
    else:
        values = np.asarray(signal, dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise InputError("task", found=f"a signal of shape {list(values.shape)}",
                         expected=f"{count} finite numbers: one a step, transient included")
    # 1e-6: the time of a step, a product, may fall short of it by rounding.
    return lambda t: float(values[min(int(t / step + 1e-6), count - 1)])


def sampled(signal: Signal, step: float, count: int) -> Array:
    """Values of the signal at the steps [count]."""
    return np.array([signal(n * step) for n in range(count)], dtype=np.float64)


def input_weights(weights: Any, size: int, seed: int) -> Array:
    """Weights [N] of the input: ``"uniform"`` (ones, as in the paper), ``"random"`` N(0, 1).

    Raises
    ------
    InputError
        An unknown name or an array that does not fit.
    """
    if isinstance(weights, str):
        if weights == "uniform":
            return np.ones(size)
        if weights == "random":
            return np.random.default_rng([seed, _SIGNAL + 1]).standard_normal(size)
        raise InputError("task", found=f"weights = {weights!r}",
                         expected="'uniform', 'random', or an array [N]")
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise InputError("task", found=f"weights of shape {list(array.shape)}",
                         expected=f"[{size}] finite numbers")
    return array
