"""What a network is driven with, as a function of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.drive import held_step
from neurosparse.errors import InputError

Array = NDArray[np.float64]
Signal = Callable[[float], float]

SIGNALS = ("noise", "sine", "sines")
# Apart from the streams of couplings, start and noise.
_SIGNAL = 201
# Ratios of frequencies no two of which are commensurate with small whole numbers.
_RATIOS = (1.0, math.sqrt(2.0), (1.0 + math.sqrt(5.0)) / 2.0)


@dataclass(frozen=True)
class Held:
    """A number a step: ``values[n]`` from n ``held_step`` on until the next; the last for ever.

    Attributes
    ----------
    values
        [T].
    held_step
        Time of a step. Its name tells the integrators, see :func:`drive.held_step`.
    """

    values: Array
    held_step: float

    def __call__(self, t: float) -> float:
        # 1e-6: the time of a step, a product, may fall short of it by rounding.
        return float(self.values[min(int(t / self.held_step + 1e-6), self.values.size - 1)])


@dataclass(frozen=True)
class Input:
    """The input weights [N] times a signal: held where the signal is."""

    weights: Array
    signal: Signal

    def __call__(self, t: float) -> Array:
        return self.weights * self.signal(t)

    @property
    def held_step(self) -> float | None:
        """That of the signal."""
        return held_step(self.signal)


def make_signal(signal: Any, *, step: float, period: float, count: int, seed: int) -> Signal:
    """The signal as a function of time.

    ``"sine"``: sin(2πt/period), variance 1/2. ``"sines"``: the mean of three with incommensurate
    frequencies. ``"noise"``: a fresh number from U(-1, 1) each step, held during it, variance 1/3.
    An array [count] is held step by step; a function of time is taken as it is, so that one that
    jumps is smeared over a step by the stages of the method.

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
    return Held(values, step)


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
