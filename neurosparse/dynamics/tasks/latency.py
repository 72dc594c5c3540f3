"""Neural latency: how long a neuron takes to fire after a train of pulses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import check_seed
from neurosparse.dynamics.flow import Flow
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]

_PULSES, _FIRING = 204, 205


@dataclass(frozen=True)
class Latency:
    """Latencies by number of pulses.

    Attributes
    ----------
    pulses
        Pulses that each neuron got [P].
    median
        Median latency over neurons, mean over repeats [P], in steps.
    stderr
        Standard error of that mean [P]; NaN for a single repeat.
    quartiles
        Lower and upper quartile over neurons, mean over repeats [P, 2].
    silent
        Fraction of neurons that did not fire in time [P]; they count as infinitely late.
    latencies
        All of them [P, repeats, N], infinite where a neuron was silent.
    status
        ``"finished"`` or ``"diverged"`` (some state left the finite range).
    settings
        What made it.
    """

    pulses: NDArray[np.int64]
    median: Array
    stderr: Array
    quartiles: Array
    silent: Array
    latencies: Array
    status: str
    settings: dict[str, Any] = field(default_factory=dict)


def neural_latency(
    flow: Flow,
    *,
    pulses: Iterable[int] = range(1, 101),
    height: float = 0.001,
    window: int = 100,
    steps: int = 2000,
    dt: float = 0.01,
    stimulus: Literal["impulse", "current"] = "impulse",
    repeats: int = 5,
    x0: Any = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Latency:
    """Median number of steps until a neuron fires, over the number of pulses before.

    papers.md 1(c)5. Each neuron gets its pulses at random steps out of ``window``, then all get
    one together, then the network runs freely; a neuron fires at the first free step where its
    rate φ(x) exceeds a fresh U(0, 1) draw. Euler steps, as the protocol counts them.

    Parameters
    ----------
    flow
        Network without drive or noise, its gain a probability: ``sigmoid(maximum=0.2)`` on
        excitatory-inhibitory couplings in the paper. γ is the regulation (the posted code has 0).
    pulses
        Numbers of pulses, each in 1 .. window (0 allowed).
    height
        Of a pulse.
    window, steps
        Steps of stimulation; longest wait.
    dt
        Time of a step (10 ms in the paper's unit).
    stimulus
        ``"impulse"``: x jumps by ``height``, as in the posted code. ``"current"``: ``height`` is a
        current during one step, so that x moves by height dt.
    repeats
        Runs of each, with pulses and draws of their own.
    x0
        State at the beginning [N]; zeros if None.

    Raises
    ------
    InputError
        A value out of its range, or a gain that is no probability at x = 0.

    Notes
    -----
    With x near 0 the rate is 0.1 a step and the median is ⌈ln 2 / -ln 0.9⌉ = 7 (papers.md 1(f)9):
    a latency of 7 says that the network did nothing. The paper's couplings have a spectral radius
    of 0.24 (:func:`neurosparse.dynamics.ei_radius`): there is no chaos to freeze in them.
    """
    counts = _check(flow, pulses, window, steps, repeats, dt, height, stimulus)
    seed = check_seed("neural_latency", seed)
    if dt > flow.stable_step("euler"):
        from neurosparse.dynamics.stability import warn_if_unstable

        warn_if_unstable(flow, "euler", dt)
    start = np.zeros(flow.size) if x0 is None else np.array(x0, dtype=np.float64)
    if start.shape != (flow.size,) or not np.isfinite(start).all():
        raise InputError("neural_latency", found=f"x0 of shape {list(start.shape)}",
                         expected=f"[{flow.size}] finite numbers")
    kick = height if stimulus == "impulse" else height * dt
    latencies = np.empty((counts.size, repeats, flow.size))
    status = "finished"
    for p, count in enumerate(counts):
        rng = np.random.default_rng([seed, _PULSES, int(count)])
        firing = np.random.default_rng([seed, _FIRING, int(count)])
        x = np.repeat(start[:, None], repeats, axis=1)
        # For each neuron and repeat a random subset of the steps.
        train = rng.random((window, flow.size, repeats)).argsort(axis=0) < count
        for n in range(window):
            x = x + dt * flow.drift(x) + kick * train[n]
        x = x + dt * flow.drift(x) + kick
        waits, sound = _first_spikes(flow, x, dt, steps, firing)
        latencies[p] = waits.T
        if not sound:
            status = "diverged"
        progress("latency", p + 1, counts.size)
    medians = np.median(latencies, axis=2)
    with np.errstate(invalid="ignore"):
        spread = medians.std(axis=1, ddof=1) / math.sqrt(repeats) if repeats > 1 else np.full(
            counts.size, np.nan)
    # An order statistic, not an interpolation: infinite latencies must not make NaN.
    quartiles = np.quantile(latencies, (0.25, 0.75), axis=2, method="lower").mean(axis=2).T
    settings = {"size": flow.size, "gamma": flow.gamma, "phi": flow.phi.name, "height": height,
                "window": window, "steps": steps, "dt": dt, "stimulus": stimulus,
                "repeats": repeats, "seed": seed}
    return Latency(counts, medians.mean(axis=1), spread, quartiles,
                   np.isinf(latencies).mean(axis=(1, 2)), latencies, status, settings)


def _first_spikes(
    flow: Flow, x: Array, dt: float, steps: int, rng: np.random.Generator
) -> tuple[Array, bool]:
    """First step (1, 2, ...) at which each neuron of each run fires, and whether x was finite."""
    waits = np.full(x.shape, np.inf)
    for n in range(1, steps + 1):
        x = x + dt * flow.drift(x)
        if not np.isfinite(x).all():
            return waits, False
        fired = (flow.phi.value(x) > rng.random(x.shape)) & np.isinf(waits)
        waits[fired] = n
        if not np.isinf(waits).any():
            break
    return waits, True


def _check(
    flow: Any, pulses: Iterable[int], window: int, steps: int, repeats: int, dt: float,
    height: float, stimulus: str,
) -> NDArray[np.int64]:
    operation = "neural_latency"
    if not isinstance(flow, Flow) or flow.drive is not None or flow.temperature > 0:
        raise InputError(operation, found=f"{flow!r}", expected="a Flow without drive and noise")
    for name, value in (("window", window), ("steps", steps), ("repeats", repeats)):
        if value < 1:
            raise InputError(operation, found=f"{name} = {value}", expected="at least 1")
    if not 0.0 < dt < math.inf or not math.isfinite(height):
        raise InputError(operation, found=f"dt = {dt}, height = {height}",
                         expected="dt > 0 and a finite height")
    if stimulus not in ("impulse", "current"):
        raise InputError(operation, found=f"stimulus = {stimulus!r}",
                         expected="'impulse' or 'current'")
    counts = np.asarray(list(pulses))
    if (counts.size == 0 or counts.dtype.kind not in "iu" or counts.min() < 0
            or counts.max() > window):
        raise InputError(operation, found=f"pulses = {counts.tolist()}",
                         expected=f"whole numbers in 0 .. {window}, the window")
    rate = float(flow.phi.value(np.zeros(1))[0])
    if not 0.0 < rate <= 1.0:
        raise InputError(operation, found=f"a rate of {rate:g} at rest, gain {flow.phi.name!r}",
                         expected="a probability in (0, 1]", mend="Take dynamics.sigmoid(0.2).")
    return counts.astype(np.int64)
