"""Where a regulated flow ends: at E = 0 or at a minimum above it, and how unstable that was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.clock import check_time
from neurosparse.dynamics.couplings import check_seed
from neurosparse.dynamics.critical import DENSE_LIMIT, Kind, at_rest, descend, vanilla_spectrum
from neurosparse.dynamics.fixed_points import unstable_directions
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.simulate import simulate
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EndStates:
    """One row a start.

    Attributes
    ----------
    times
        When the energy was looked at [T].
    energies
        E along the runs [T, S].
    final
        State at the end of the run [S, N].
    points
        The critical point of E below it [S, N].
    point_energies
        E there [S].
    kinds
        ``"fixed"`` (E = 0), ``"minimum E>0"`` or ``"slow"`` (neither reached).
    distances
        Root mean square over neurons of the way from ``final`` to ``points`` [S]: small where the
        run itself had arrived.
    index
        Unstable directions of the point under the vanilla flow [S]; -1 where not computed.
    instability
        Largest real part of its vanilla Jacobian spectrum [S]; NaN where not computed.
    """

    times: Array
    energies: Array
    final: Array
    points: Array
    point_energies: Array
    kinds: tuple[Kind, ...]
    distances: Array
    index: NDArray[np.int64]
    instability: Array

    @property
    def counts(self) -> dict[str, int]:
        """How many starts ended in each kind."""
        return dict(Counter(self.kinds))


def end_states(
    flow: Flow,
    *,
    starts: int = 16,
    duration: float = 200.0,
    x0: Any = None,
    method: str = "rk4",
    dt: float | None = None,
    looks: int = 20,
    tolerance: float = 1e-9,
    spectra: bool | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> EndStates:
    """Run from many starts at once and say what was approached.

    The claim of the freezing-chaos paper is that the unstable fixed points behind the chaos are
    approached: then ``kinds`` are ``"fixed"``, ``index`` is not zero and ``distances`` are small.
    Relaxation at γ = 1 is slow (algebraic), so the end of the run is carried on to the critical
    point of E below it, and the distance is reported.

    Parameters
    ----------
    flow
        Usually γ = 1; at γ = 0 the distances say how far chaos stays from the points.
    starts
        Number of starts, N(0, 1) from the seed.
    duration
        Of each run; with ``dt`` given, the nearest whole number of looks at whole steps.
    x0
        Starts [S, N] of one's own instead.
    method, dt
        See :func:`neurosparse.dynamics.simulate`; not a stiff method (several states at once).
    looks
        How often the energy is recorded.
    tolerance
        Largest |f_i| of a point called fixed.
    spectra
        Whether to compute Jacobian spectra; None: up to N = 2048.
    seed
        Of the starts (and of the noise, if the flow has any).
    progress
        Called with (label, done, total).

    Returns
    -------
    EndStates

    Raises
    ------
    InputError
        A value out of its range.
    DivergenceError
        A run left the finite range.
    """
    duration = check_time("end_states", "duration", duration)
    seed = check_seed("end_states", seed)
    if not isinstance(looks, int) or looks < 1:
        raise InputError("end_states", found=f"looks {looks!r}", expected="a whole number >= 1")
    duration, every = _times(duration, looks, dt)
    rest = at_rest(flow, duration, "end_states")
    if x0 is None:
        if not isinstance(starts, (int, np.integer)) or starts < 1:
            raise InputError("end_states", found=f"starts {starts!r}",
                             expected="a whole number >= 1")
        begin: Array = np.random.default_rng([seed, 104]).standard_normal((int(starts), flow.size))
    else:
        begin = np.atleast_2d(np.asarray(x0, dtype=np.float64))
    run = simulate(flow, begin.T, duration=duration, dt=dt, method=method, record_every=every,
                   seed=seed, on_divergence="raise", progress=progress)
    final = np.ascontiguousarray(run.final.T)
    points, kinds = np.empty_like(final), []
    for row, x in enumerate(final):
        points[row], kind = descend(rest, x, tolerance)
        kinds.append(kind)
        progress("critical points", row + 1, len(final))
    if spectra is None:
        spectra = flow.size <= DENSE_LIMIT
    values = (np.array([vanilla_spectrum(rest, x) for x in points]) if spectra
              else np.empty((len(final), 0), dtype=np.complex128))
    worst = values.real.max(axis=1) if spectra else np.full(len(final), np.nan)
    return EndStates(
        times=run.times, energies=run.energy, final=final, points=points,
        point_energies=np.asarray(rest.energy(points.T)), kinds=tuple(kinds),
        distances=np.sqrt(np.mean((final - points) ** 2, axis=1)),
        index=unstable_directions(values), instability=np.asarray(worst))


def _times(duration: float, looks: int, dt: float | None) -> tuple[float, float]:
    """Length of the runs, and time from one look to the next: both as steps of ``dt`` allow."""
    every = duration / looks
    if dt is None:
        return duration, every
    every = max(1, round(every / check_time("end_states", "dt", dt))) * dt
    return max(1, round(duration / every)) * every, every
