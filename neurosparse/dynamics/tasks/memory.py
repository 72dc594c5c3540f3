"""Memory: how much of its past input a linear readout finds in the state of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.tasks.curve import ReadoutCurve, readout_curve
from neurosparse.dynamics.tasks.readout import RIDGES
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent


def memory_curve(
    flow: Flow | Map,
    *,
    delays: Iterable[int] = range(1, 11),
    steps: int = 3000,
    dt: float = 0.01,
    signal: Any = "sine",
    amplitude: float = 1.0,
    period: float = 1.0,
    weights: Any = "uniform",
    ridge: float | Sequence[float] = RIDGES,
    train: float = 2 / 3,
    transient: int = 300,
    observe: str = "state",
    method: str = "rk4",
    x0: Any = None,
    seed: int = 0,
    progress: Progress = silent,
) -> ReadoutCurve:
    """Score of the recall of s(t - τ) from the state at t, over delays τ.

    The protocol of papers.md 1(c)6 (N = 1000, dt = 0.01, 3000 steps, a sine of period 1 into all
    neurons), without the defects of its code (1(e)): the readout is fitted to the shifted signal,
    by ridge regression, and scored on later times than it was fitted to.

    Parameters
    ----------
    flow
        Network without drive; its γ is the regulation, its ``drive_inside`` says whether the
        energy knows the input.
    delays
        τ >= 0 in steps.
    steps
        Steps that are observed, after the transient.
    dt
        Time of a step; a map's step is 1.
    signal
        ``"sine"`` (a state that holds the phase recalls every delay), ``"sines"``, ``"noise"``
        (only a state that holds the past itself recalls it), an array
        [transient + steps], or a function of time (of the step, for a map). Noise and arrays are
        held during a step: the fixed-step methods read them at its begin for all their stages,
        the adaptive and stiff ones begin anew at each step, so that no state knows the next
        value. A function of time is read wherever a method's stages fall, the end of the step
        included: give one that jumps as an array.
    amplitude, weights
        Input I = amplitude w s(t), w [N] ``"uniform"`` (ones), ``"random"``, or an array.
    period
        Of the sine, in the unit of time.
    ridge
        See :func:`fit_readout`; of several the best on the end of the fitted times is taken.
    train
        Fraction of the steps that is fitted.
    transient
        Steps before that.
    observe
        Read out the ``"state"`` x or the ``"rate"`` φ(x).

    Raises
    ------
    InputError
        A value out of its range, or a network that has a drive already.
    """
    return readout_curve(
        flow, -1, delays=delays, steps=steps, dt=dt, signal=signal, amplitude=amplitude,
        period=period, weights=weights, ridge=ridge, train=train, transient=transient,
        observe=observe, method=method, x0=x0, seed=seed, progress=progress,
    )


def delay_line(length: int) -> tuple[Map, NDArray[np.float64]]:
    """A map that holds the last ``length`` inputs, and its input weights: memory without loss.

    x_0(n+1) = s(n), x_k(n+1) = x_{k-1}(n): every delay 1 .. length scores 1, longer ones of white
    noise 0. The referee of the task.

    Raises
    ------
    InputError
        length < 1.
    """
    if length < 1:
        raise InputError("delay_line", found=f"length = {length}", expected="at least 1")
    entering = np.zeros(length)
    entering[0] = 1.0
    return Map(np.eye(length, k=-1), 1.0, "linear"), entering
