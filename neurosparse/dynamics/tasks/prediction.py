"""Prediction: what a linear readout of the present state says about the input to come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.tasks.curve import ReadoutCurve, readout_curve
from neurosparse.dynamics.tasks.readout import RIDGES
from neurosparse.progress import Progress, silent


def prediction_curve(
    flow: Flow | Map,
    *,
    delays: Iterable[int] = range(1, 11),
    steps: int = 3000,
    dt: float = 0.01,
    signal: Any = "sines",
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
    """Score of the prediction of s(t + τ) from the state at t, over τ in steps.

    Arguments as in :func:`memory_curve`; an array as signal needs max(τ) more entries. With
    ``signal="sine"`` this is the target of papers.md 1(c)6. White noise scores zero, whatever the
    network: a positive score there is a leak.

    Raises
    ------
    InputError
        A value out of its range, or a network that has a drive already.
    """
    return readout_curve(
        flow, 1, delays=delays, steps=steps, dt=dt, signal=signal, amplitude=amplitude,
        period=period, weights=weights, ridge=ridge, train=train, transient=transient,
        observe=observe, method=method, x0=x0, seed=seed, progress=progress,
    )
