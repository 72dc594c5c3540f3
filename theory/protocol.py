"""What several scripts do to a network: exponents over windows, and freezing it for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics import Flow, simulate
from neurosparse.lyapunov import Status, spectrum

Array = NDArray[np.float64]

RECORD = 0.5


def start(n: int, seed: int) -> Array:
    """x(0) ~ N(0, 1) [N], apart from the couplings' own stream."""
    return np.random.default_rng([seed, 9]).standard_normal(n)


def over_windows(flow: Flow, edges: Sequence[float], x0: Array, **options: Any,
                 ) -> tuple[Array, Array, Array, float]:
    """Largest exponent over each window [W], E/N at the edges [W+1], last state, and time step.

    One tangent vector from a random direction at the first edge on, so that the first window
    contains its transient, as a published finite-time exponent does. NaN from divergence on.
    """
    exponents = np.full(len(edges) - 1, np.nan)
    energies = np.full(len(edges), np.nan)
    energies[0] = flow.energy(x0) / flow.size
    run, total, time, step, x = None, 0.0, 0.0, np.nan, x0
    for window, length in enumerate(np.diff(edges)):
        if run is None:
            run = spectrum(flow, 1, transient=0.0, warmup=0.0, duration=length, x0=x0,
                           interval=0.2, **options)
        else:
            run = run.extend(duration=length)
        step = run.unit
        if run.status is Status.DIVERGED:
            break
        exponents[window] = (run.log.total[0] - total) / (run.duration - time)
        total, time = run.log.total[0], run.duration
        x = np.asarray(run.state["x"])
        energies[window + 1] = flow.energy(x) / flow.size
    return exponents, energies, x, step


def three_phases(J: Any, x0: Array, length: float, window: float, shown: int,
                 switch: Sequence[float] = (0.0, 1.0, 0.0)) -> dict[str, Array]:
    """γ = 0, 1, 0, each for ``length``: activity of some neurons, energy, exponents.

    The exponent of a phase leaves out its first window, in which the tangent vector turns.
    """
    times, states, energy, local, whole = [], [], [], [], []
    x = x0
    per_phase = round(length / window)
    for phase, gamma in enumerate(switch):
        flow = Flow(J, gamma)
        run = simulate(flow, x, duration=length, record_every=RECORD)
        exponents = over_windows(flow, window * np.arange(per_phase + 1.0), x)[0]
        times.append(run.times + phase * length)
        states.append(run.states[:, :shown])
        energy.append(run.energy / flow.size)
        local.append(exponents)
        whole.append(exponents[1:].mean())
        x = run.final
    return {"times": np.concatenate(times), "states": np.concatenate(states),
            "energy": np.concatenate(energy), "local": np.concatenate(local),
            "phase": np.array(whole)}
