"""The phase diagram over gain g and Onsager switch γ, on any executor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.dynamics.fixed_points import find_fixed_points
from neurosparse.errors import InputError
from neurosparse.lyapunov.phase_result import KINDS, PhaseDiagram
from neurosparse.lyapunov.result import Spectrum
from neurosparse.lyapunov.running import Status
from neurosparse.lyapunov.spectrum import spectrum
from neurosparse.lyapunov.statistics import FEWEST, mean_error
from neurosparse.progress import Progress, silent
from neurosparse.sweeps import draw_seed, sweep

Array = NDArray[np.float64]

_START = 301
_STEP = 0.05  # where dt is the run's own choice: its steps are of this order


def phase_diagram(
    g: Sequence[float],
    gamma: Sequence[float] = (0.0, 1.0),
    *,
    n: int = 200,
    k: int = 1,
    draws: int = 4,
    duration: float = 400.0,
    windows: int = 4,
    phi: str = "tanh",
    couplings: Mapping[str, Any] | None = None,
    method: str | None = None,
    dt: float | None = None,
    settle: bool = True,
    seed: int = 0,
    store: str | Path | None = None,
    executor: Any = None,
    workers: int | None = None,
    resume: bool = True,
    progress: Progress = silent,
) -> PhaseDiagram:
    """Exponents over growing windows, energies and end points over (g, γ).

    A draw has the same random numbers in its couplings and its start at every g and γ, so that
    differences along the axes are paired. The windows end at T/2^W, ..., T/4, T/2, T, the first
    beginning at T/2^W, after the frame has run along: an exponent that is a transient shrinks from
    window to window, one that is chaos stays.

    Parameters
    ----------
    g, gamma
        Gains and Onsager switches.
    n, k, draws
        Neurons, leading exponents, networks.
    duration
        T, all of the time, in units of the neurons' time constant.
    windows
        W.
    phi
        Name of a gain with a second derivative.
    couplings
        Further arguments of :func:`neurosparse.dynamics.gaussian_couplings`, such as
        ``{"symmetry": 0.5}``.
    method, dt
        As for :func:`spectrum`: RK4, and a step inside the stable range, by default. The published
        figures are Euler's at 0.01, outside it above g = 7.
    settle
        Whether to minimise E from the last state, and say what lies below it.
    seed, store, executor, workers, resume, progress
        See :func:`neurosparse.sweeps.sweep`; ``store`` is the sweep's file, by draw, to go on
        from. The diagram has a ``save`` of its own.

    Returns
    -------
    PhaseDiagram

    Raises
    ------
    InputError
        A value out of its range.
    ResumeError
        ``store`` belongs to another sweep.
    """
    _check(g, gamma, n, k, draws, duration, windows, dt)
    fixed = {"n": n, "k": k, "duration": float(duration), "windows": windows, "phi": phi,
             "couplings": dict(couplings or {}), "method": method, "dt": dt, "settle": settle,
             "base": seed}
    gains, switches = np.asarray(g, dtype=np.float64), np.asarray(gamma, dtype=np.float64)
    result = sweep(
        run_point, {"g": gains, "gamma": switches, "draw": range(draws)}, fixed=fixed, seed=seed,
        store=store, executor=executor, workers=workers, resume=resume, progress=progress,
    )
    # without the axis of repeats: the draws are an axis of the grid
    values = {name: found[:, :, :, 0] for name, found in result.values.items()}
    return PhaseDiagram(
        gain=gains, gamma=switches, edges=_edges(duration, windows),
        exponents=values["exponents"], errors=values["errors"], energy=values["energy"],
        activity=values["activity"], settled_energy=values["settled_energy"],
        settled_activity=values["settled_activity"], settled_distance=values["settled_distance"],
        kind=values["kind"].astype(np.int64), diverged=values["diverged"] > 0,
        step=values["step"], settings={**fixed, "draws": draws, "seed": seed},
    )


def _edges(duration: float, windows: int) -> Array:
    return np.asarray(duration / 2.0 ** np.arange(windows, -1, -1))


def _check(g: Any, gamma: Any, n: int, k: int, draws: int, duration: float, windows: int,
           dt: float | None) -> None:
    for name, values in (("g", g), ("gamma", gamma)):
        axis = np.asarray(values, dtype=np.float64)
        if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
            raise InputError("phase diagram", found=f"{name} = {values!r}",
                             expected="a sequence of finite numbers")
    if np.min(g) < 0:
        raise InputError("phase diagram", found=f"g = {np.min(g):g}", expected="gains >= 0")
    for name, count in (("n", n), ("k", k), ("draws", draws), ("windows", windows)):
        if isinstance(count, bool) or int(count) != count or count < 1:
            raise InputError("phase diagram", found=f"{name} = {count!r}",
                             expected="a whole number >= 1")
    if k > n:
        raise InputError("phase diagram", found=f"k = {k}", expected=f"at most n = {n}")
    if not 0.0 < duration < math.inf:
        raise InputError("phase diagram", found=f"duration = {duration}",
                         expected="a finite time > 0")
    first, step = math.ldexp(duration, -int(windows)), _STEP if dt is None else dt
    if first < step:
        raise InputError("phase diagram", found=f"windows = {windows} in a time of {duration:g}, "
                         f"the first from {first:.3g} on",
                         expected=f"a start of at least a step, {step:g}")


def run_point(
    g: float, gamma: float, draw: int, *, n: int, k: int, duration: float, windows: int, phi: str,
    couplings: dict[str, Any], method: str | None, dt: float | None, settle: bool, base: int,
    seed: int,
) -> dict[str, Any]:
    """One network at one (g, γ); the draw alone decides the random numbers, not ``seed``."""
    del seed
    drawn = draw_seed(base, draw)
    flow = Flow(gaussian_couplings(n, g, seed=drawn, **couplings), gamma, phi)
    x = np.random.default_rng([drawn, _START]).standard_normal(n)
    edges = _edges(duration, windows)
    found: dict[str, Any] = {
        "exponents": np.full((windows, k), np.nan), "errors": np.full((windows, k), np.nan),
        "energy": np.full(windows + 1, np.nan), "activity": np.full(windows + 1, np.nan),
        "settled_energy": np.nan, "settled_activity": np.nan, "settled_distance": np.nan,
        "kind": -1, "diverged": 1, "step": np.nan,
    }
    options: dict[str, Any] = {"method": method, "dt": dt, "seed": drawn}
    # The state at the first edge, for its energy; the spectrum goes the same way once more.
    first = spectrum(flow, 1, transient=0.0, warmup=0.0, duration=edges[0], x0=x, **options)
    _look(found, 0, first, flow)
    found["step"] = first.unit
    if first.status is Status.DIVERGED:
        return found
    run: Spectrum | None = None
    for window in range(windows):
        before = run
        if before is None:
            run = spectrum(flow, k, transient=0.0, warmup=edges[0], duration=edges[1] - edges[0],
                           x0=x, **options)
        else:
            run = before.extend(duration=edges[window + 1] - edges[window])
        if run.status is Status.INTERRUPTED:
            raise KeyboardInterrupt  # half a point must not count as done
        if run.status is Status.DIVERGED:
            return found
        found["exponents"][window], found["errors"][window] = _between(before, run)
        _look(found, window + 1, run, flow)
    found["diverged"] = 0
    if settle and run is not None:
        _settle(found, flow, np.asarray(run.state["x"]))
    return found


def _look(found: dict[str, Any], edge: int, run: Spectrum, flow: Flow) -> None:
    x = np.asarray(run.state["x"])
    if run.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    if run.status is not Status.DIVERGED:
        found["energy"][edge] = flow.energy(x, float(run.state["time"])) / x.size
        found["activity"][edge] = float(x @ x) / x.size


def _between(before: Spectrum | None, after: Spectrum) -> tuple[Array, Array]:
    """Exponents and errors [k] over the time that ``after`` has more than ``before``."""
    total, time, count = after.log.total, after.duration, after.log.count
    if before is not None:
        total = total - before.log.total
        time -= before.duration
        count -= before.log.count
    order = np.argsort(-total, kind="stable")
    rows = after.log.rows
    rows = rows[len(rows) - min(len(rows), count // after.log.merged):]
    errors = np.full(total.size, np.nan)
    if len(rows) >= FEWEST:
        errors = mean_error(rows / after.block_time)[1]
    return total[order] / time, errors[order]


def _settle(found: dict[str, Any], flow: Flow, x: Array) -> None:
    points = find_fixed_points(flow, from_states=x[None, :], spectra=False)
    point = points.states[0]
    found["settled_energy"] = float(points.energies[0]) / x.size
    found["settled_activity"] = float(point @ point) / x.size
    found["settled_distance"] = float(np.linalg.norm(point - x)) / math.sqrt(x.size)
    found["kind"] = KINDS.index(points.kinds[0])
