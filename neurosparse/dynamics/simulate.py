"""Run a network and keep what was asked for."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.clock import Clock, check_time, make_clock
from neurosparse.dynamics.couplings import check_number, check_seed
from neurosparse.dynamics.fixed_step import run_fixed
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.methods import default_step, resolve, states
from neurosparse.dynamics.plasticity import HebbianFlow, PlasticRun
from neurosparse.dynamics.stability import warn_if_unstable
from neurosparse.dynamics.trajectory import RunStatus, Trajectory
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]

# streams of random numbers, apart from each other and from the couplings' own
_START, _NOISE = 101, 102

# a run in memory beyond this is refused with a hint at ``store``
_MEMORY = 8 << 30


def simulate(
    flow: Flow | Map | HebbianFlow,
    x0: Any = None,
    *,
    duration: float,
    dt: float | None = None,
    method: str = "rk4",
    transient: float = 0.0,
    record_every: float | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    energy: bool = True,
    tolerance: float = 1e-8,
    limit: float = 1e12,
    on_divergence: Literal["status", "raise"] = "status",
    progress: Progress = silent,
) -> Trajectory:
    """Run a flow, a map or a plastic network from ``x0``.

    Parameters
    ----------
    flow
        The system.
    x0
        State [N], or [N, S] for S runs at once; N(0, 1) from the seed if None.
    duration
        Time of the whole run, transient included; steps for a map. What follows the transient is
        a whole number of record intervals.
    dt
        Step. None: stable with a margin, at most 0.05 (RK4), 0.02 (Heun), 0.01 (Euler), and such
        that the other times are whole numbers of it. For adaptive and stiff methods the interval
        between records (at most 0.1), not the step.
    method
        ``"rk4"``, ``"euler"``, ``"adaptive"`` (DOP853), ``"rk45"``, ``"stiff"`` (LSODA),
        ``"bdf"``, ``"radau"``; with noise ``"heun"`` and ``"euler-maruyama"``, which ``"rk4"``
        and ``"euler"`` then stand for.
    transient
        First part of the run, which is not recorded; a whole number of steps.
    record_every
        Time between records, a multiple of dt; every step if None. Steps for a map.
    store
        HDF5 file to stream the states to; the result then reads from it. Needed where they do not
        fit in memory.
    seed
        Of the start and of the noise, each its own stream.
    energy
        Whether to record |f|²/2, one more product a record.
    tolerance
        Of adaptive and stiff methods, relative and absolute.
    limit
        |x| beyond which the run counts as diverged.
    on_divergence
        ``"status"``: the trajectory ends there and says so. ``"raise"``: an error.
    progress
        Called with (label, records done, records in all).

    Returns
    -------
    Trajectory

    Raises
    ------
    InputError
        A value out of its range, times that do not fit each other, a method that cannot serve the
        system, states too many for memory.
    DivergenceError
        Only if asked for.
    StorageError
        The file cannot be written.

    Warns
    -----
    StabilityWarning
        dt is beyond the stable range of a fixed-step method.
    """
    method = resolve(flow, method)
    seed = check_seed("simulate", seed)
    start = _start(flow, x0, seed)
    check_number("simulate", "tolerance", tolerance, 0.0, 1.0)
    check_number("simulate", "limit", limit, 0.0, math.inf)
    if on_divergence not in ("status", "raise"):
        raise InputError("simulate", found=f"on_divergence {on_divergence!r}",
                         expected="'status' or 'raise'")
    clock = _clock(flow, duration, transient, dt, record_every, method)
    if not isinstance(flow, Map):
        warn_if_unstable(flow, method, clock.dt)
    settings = _settings(flow, clock, method, seed, tolerance)
    if store is None:
        size = 8 * start.size * clock.records
        if size > _MEMORY:
            raise InputError("simulate", found=f"{clock.records} records of {start.size} numbers "
                             f"({size / 2**30:.1f} GiB)", expected="at most 8 GiB in memory",
                             mend="Give store=<file.h5>, or a longer record_every.")
    run = _Run(flow, start, clock, method, energy, tolerance, limit, seed, progress)
    return _record(run, settings, on_divergence, None if store is None else Path(store))


class _Run:
    """One run as an iterator of (time, state, energy) and what it ends with."""

    def __init__(self, flow: Any, start: Array, clock: Clock, method: str, energy: bool,
                 tolerance: float, limit: float, seed: int, progress: Progress) -> None:
        self.clock, self.start, self.limit, self.progress = clock, start, limit, progress
        self.energies: tuple[int, ...] | None = start.shape[1:] if energy else None
        self.plastic: PlasticRun | None = None
        rng = np.random.default_rng([seed, _NOISE])
        if isinstance(flow, HebbianFlow):
            self.plastic = PlasticRun(flow, method, clock.dt)
            self.energy_of: Any = self.plastic.energy
            self.pairs = run_fixed(self.plastic.step(), start, clock, limit)
        else:
            self.energy_of = flow.energy
            self.pairs = states(flow, start, clock, method=method, limit=limit,
                                tolerance=tolerance, rng=rng)

    def into(self, recorder: Any) -> float | None:
        """Fill the recorder; the time at which the state left the range, or None."""
        total = self.clock.records
        often = max(1, total // 200)
        # overflow is what divergence looks like: it ends in the status, not in warnings
        with np.errstate(over="ignore", invalid="ignore"):
            for done, (time, x) in enumerate(self.pairs, start=1):
                if not np.abs(x).max() <= self.limit:
                    return time
                wanted = self.energies is not None
                recorder.add(x, self.energy_of(x, time) if wanted else None)
                if done % often == 0 or done == total:
                    self.progress("simulate", done, total)
        return None


def _record(run: _Run, settings: dict[str, Any], on_divergence: str,
            store: Path | None) -> Trajectory:
    from neurosparse.dynamics.trajectory_file import Recorder, open_trajectory, write_rest

    with ExitStack() as stack:
        file = None
        if store is not None:
            import h5py

            from neurosparse.files import write_whole

            beside = stack.enter_context(write_whole(store))
            file = stack.enter_context(h5py.File(beside, "w"))
        recorder = Recorder(run.clock.records, run.start.shape, run.energies, file)
        left = run.into(recorder)
        if left is not None and on_divergence == "raise":
            import neurosparse.errors as family

            kind = getattr(family, "DivergenceError", family.NeurosparseError)
            raise kind("simulate", found=f"|x| beyond {run.limit:g} at time {left:g}",
                       expected="a bounded trajectory",
                       mend="Take a smaller dt, a smaller gain, or a bounded phi.")
        status: RunStatus = "finished" if left is None else "diverged"
        if left is not None:
            settings["diverged_at"] = left
        kept = recorder.finish()
        trajectory = Trajectory(
            times=run.clock.times[:recorder.count], states=kept, energy=recorder.energy,
            status=status, settings=settings,
            couplings=None if run.plastic is None else run.plastic.couplings)
        if file is None:
            return trajectory
        write_rest(file, trajectory)
    assert store is not None
    return open_trajectory(store)


def _start(flow: Any, x0: Any, seed: int) -> Array:
    if x0 is None:
        drawn: Array = np.random.default_rng([seed, _START]).standard_normal(flow.size)
        return drawn
    try:
        start = np.array(x0, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("simulate", found=f"x0 {x0!r:.60}",
                         expected=f"numbers [{flow.size}] or [{flow.size}, S]") from error
    if start.ndim not in (1, 2) or start.shape[0] != flow.size or start.size == 0:
        raise InputError("simulate", found=f"x0 of shape {list(start.shape)}",
                         expected=f"[{flow.size}] or [{flow.size}, S]")
    if start.ndim == 2 and isinstance(flow, HebbianFlow):
        raise InputError("simulate", found="several states of one plastic network",
                         expected=f"x0 [{flow.size}]", mend="Each state has its own couplings.")
    if not np.isfinite(start).all():
        raise InputError("simulate", found="NaN or infinite entries in x0",
                         expected="finite numbers")
    return start


def _clock(flow: Any, duration: float, transient: float, dt: float | None,
           record_every: float | None, method: str) -> Clock:
    if isinstance(flow, Map):
        if dt not in (None, 1):
            raise InputError("simulate", found=f"dt {dt!r} for a map", expected="None",
                             mend="The step of a map is its delta.")
        for name, value in (("duration", duration), ("transient", transient),
                            ("record_every", 1 if record_every is None else record_every)):
            if not check_time("simulate", name, value, zero=name == "transient").is_integer():
                raise InputError("simulate", found=f"{name} {value!r} for a map",
                                 expected="a whole number of steps")
        return make_clock(duration, transient, 1.0, record_every)
    longest = default_step(flow, method) if dt is None else math.inf
    return make_clock(duration, transient, dt, record_every, longest)


def _settings(flow: Any, clock: Clock, method: str, seed: int, tolerance: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "system": type(flow).__name__, "size": flow.size, "phi": flow.phi.name,
        "phi_parameters": dict(flow.phi.parameters), "method": method, "dt": clock.dt,
        "duration": clock.time(clock.steps), "transient": clock.time(clock.skip),
        "record_every": clock.time(clock.every), "seed": int(seed),
    }
    for name in ("gamma", "temperature", "drive_inside", "delta", "strength", "timescale"):
        if hasattr(flow, name):
            settings[name] = getattr(flow, name)
    if method not in ("map", "euler", "rk4", "heun", "euler-maruyama"):
        settings["tolerance"] = tolerance
    return settings
