"""Drive a network, read a shifted copy of the drive out of it: the engine of two tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import check_seed
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.simulate import simulate
from neurosparse.dynamics.tasks.readout import fit_readout, score, score_error
from neurosparse.dynamics.tasks.signals import Input, input_weights, make_signal, sampled
from neurosparse.errors import InputError
from neurosparse.progress import Progress

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReadoutCurve:
    """Scores of a readout over delays.

    Attributes
    ----------
    delays
        In steps [D].
    scores
        1 - ⟨(z - s)²⟩/Var(s) on held-out times [D]; NaN where the network diverged.
    stderr
        Standard error of each, from blocks of held-out time [D].
    train_scores
        The same on the fitted times: a score far above ``scores`` is a fit of noise.
    ridge
        Penalty that was chosen [D].
    status
        ``"finished"`` or ``"diverged"``.
    settings
        What made it.
    """

    delays: NDArray[np.int64]
    scores: Array
    stderr: Array
    train_scores: Array
    ridge: Array
    status: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def capacity(self) -> float:
        """Σ of the scores, negative ones as zero.

        For delays 1, 2, ... of white noise this is the linear memory capacity, at most N (Jaeger
        2001).
        """
        return float(np.maximum(self.scores, 0.0).sum())


def driven(flow: Flow | Map, drive: Any) -> Flow | Map:
    """The same network with an input."""
    if not isinstance(flow, Flow | Map):
        raise InputError("task", found=f"a {type(flow).__name__}", expected="a Flow or a Map")
    if flow.drive is not None:
        raise InputError("task", found="a network that has a drive",
                         expected="drive=None", mend="The task brings its own.")
    if isinstance(flow, Map):
        return Map(flow.J, flow.delta, flow.phi, drive=drive)
    return Flow(flow.J, flow.gamma, flow.phi, drive=drive, drive_inside=flow.drive_inside,
                temperature=flow.temperature)


def check_delays(delays: Iterable[int], steps: int) -> NDArray[np.int64]:
    """Delays as whole numbers of steps [D]."""
    asked = np.asarray(list(delays))
    if asked.size == 0 or asked.dtype.kind not in "iu" or (asked < 0).any():
        raise InputError("task", found=f"delays = {asked.tolist()}",
                         expected="whole numbers of steps >= 0")
    if asked.max() > steps // 2:
        raise InputError("task", found=f"a delay of {asked.max()} steps in {steps}",
                         expected="delays of at most half the steps")
    return asked.astype(np.int64)


def readout_curve(
    flow: Flow | Map, sign: int, *, delays: Iterable[int], steps: int, dt: float, signal: Any,
    amplitude: float, period: float, weights: Any, ridge: float | Sequence[float], train: float,
    transient: int, observe: str, method: str, x0: Any, seed: int, progress: Progress,
) -> ReadoutCurve:
    """Scores of readouts of s(t + sign delay) from the state at t."""
    if steps < 8 or transient < 0:
        raise InputError("task", found=f"steps = {steps}, transient = {transient}",
                         expected="steps >= 8, transient >= 0")
    if not 0.0 < train < 1.0:
        raise InputError("task", found=f"train = {train}", expected="a fraction between 0 and 1")
    if observe not in ("state", "rate"):
        raise InputError("task", found=f"observe = {observe!r}", expected="'state' or 'rate'")
    shifts = sign * check_delays(delays, steps)
    seed = check_seed("task", seed)
    # a map's times are whole numbers, for a signal that is a function of the step
    step = 1 if isinstance(flow, Map) else dt
    # Past and future that the shifted targets reach into.
    total = transient + steps + max(0, int(shifts.max()))
    source = make_signal(signal, step=step, period=period, count=total, seed=seed)
    w = amplitude * input_weights(weights, flow.size, seed)
    run = simulate(
        driven(flow, Input(w, source)), x0, duration=(transient + steps - 1) * step,
        transient=transient * step, dt=None if isinstance(flow, Map) else dt, method=method,
        seed=seed, energy=False, progress=progress,
    )
    settings = {**run.settings, "signal": signal if isinstance(signal, str) else "own",
                "amplitude": amplitude, "period": period, "steps": steps, "train": train,
                "observe": observe}
    nan = np.full(shifts.size, np.nan)
    if run.status != "finished":
        return ReadoutCurve(abs(shifts), nan, nan, nan, nan, run.status, settings)
    s = sampled(source, step, total)
    # A recall of what came before the first step of all cannot be asked for.
    first = max(0, int(-shifts.min()) - transient)
    states = np.asarray(run.states)[first:steps]
    observed = states if observe == "state" else flow.phi.value(states)
    times = transient + first + np.arange(len(observed))
    targets = s[times[:, None] + shifts]
    split = math.floor(train * len(observed))
    fit = fit_readout(observed[:split], targets[:split], ridge=ridge)
    said = fit(observed)
    held = (said[split:], targets[split:], fit.mean)
    return ReadoutCurve(
        delays=abs(shifts), scores=np.atleast_1d(score(*held)), stderr=score_error(*held),
        train_scores=np.atleast_1d(score(said[:split], targets[:split], fit.mean)),
        ridge=fit.ridge, status=run.status, settings=settings,
    )
