"""Lyapunov exponents of any system that has a propagator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurosparse.dynamics.couplings import check_seed
from neurosparse.errors import InputError
from neurosparse.lyapunov import orthogonalise as qr
from neurosparse.lyapunov.driver import CONDITION, Run, random_frame
from neurosparse.lyapunov.propagator import Array, Propagator, propagator
from neurosparse.lyapunov.result import Spectrum, finish
from neurosparse.lyapunov.running import Status, Target, measure
from neurosparse.progress import Progress, silent


def spectrum(
    system: Any,
    k: int | None = None,
    *,
    precision: float | None = None,
    duration: float | None = None,
    max_duration: float | None = None,
    transient: float | None = None,
    warmup: float | None = None,
    dt: float | None = None,
    method: str | None = None,
    interval: float | None = None,
    orthogonalise: str = "cholesky",
    x0: Array | None = None,
    seed: int = 0,
    dtype: str = "float64",
    covariant: bool = False,
    on_failure: str = "status",
    progress: Progress = silent,
) -> Spectrum:
    """Lyapunov exponents of a flow, map, driven or noisy network, user's system, or sequence.

    Parameters
    ----------
    system
        Anything with a propagator: ``Flow``, ``Map``, ``System``, ``DiscreteSystem``,
        ``MatrixSequence``, ``Operators``.
    k
        How many of the N exponents, the largest first; all of them by default.
    precision
        Go on until every standard error (per unit of time) is at most this.
    duration
        Time to measure over, after the transient; with ``precision`` the least time. A finite
        sequence is measured to its end by default.
    max_duration
        With ``precision``: the longest time (default: 100 times the default duration).
    transient, warmup
        Time that the state runs alone before, and that the frame runs along before it is measured.
    dt, method, dtype
        Step (time), integrator, and precision of the tangent products, where the kind has them.
    interval
        Time between two orthonormalisations. By default it is chosen from the observed condition
        of the frame during the warm-up; the result does not depend on it.
    orthogonalise
        ``"cholesky"`` (CholeskyQR, guarded by the frame's condition) or ``"householder"``.
    x0
        Initial state [N].
    seed
        Of the initial state and the initial frame.
    covariant
        Also compute covariant vectors, on a stretch that follows (see ``covariant_vectors``).
    on_failure
        ``"status"``: divergence is a status and NaN exponents; ``"raise"``: a ``DivergenceError``.
    progress
        Called as ``progress(label, done, total)`` in blocks.

    Returns
    -------
    Spectrum
        ``exponents``, ``stderr``, ``status`` and more.

    Raises
    ------
    InputError
        An argument is out of its range: k > N, a length or step that is not positive, an unknown
        name.
    DivergenceError
        State or frame became infinite, and ``on_failure="raise"``.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15, 9 (1980); Geist, Parlitz & Lauterborn,
    Prog. Theor. Phys. 83, 875 (1990).
    """
    _check(locals())
    options = {"method": method, "dt": dt, "seed": seed, "x0": x0, "dtype": dtype}
    carrier = propagator(system, **options)  # type: ignore[arg-type]
    k = _count(k, carrier.size)
    transient, warmup, target = _lengths(
        carrier, transient, warmup, duration, precision, max_duration
    )
    run = Run(
        carrier,
        random_frame(carrier.size, k, seed),
        orthogonalise,
        adaptive=interval is None,
        condition=CONDITION[dtype],
    )
    if interval is not None:
        run.block_steps = run.qr_steps = max(1, round(interval / carrier.unit))
    _prepare(run, transient, warmup, target)
    status = measure(run, target, progress)
    if run.log.count == 0 and run.ended and not run.diverged:
        raise InputError(
            "spectrum",
            found="a sequence that ended before one block was measured",
            expected="a longer sequence",
            mend="An iterator can be read once: pass a list. Or shorten warmup or interval.",
        )
    if status is Status.DIVERGED and on_failure == "raise":
        _raise_divergence(carrier, transient + warmup + run.time)
    settings = {
        "options": {name: value for name, value in options.items() if name != "x0"},
        "precision": precision,
        "orthogonalise": orthogonalise,
        "adaptive": run.adaptive,
        "condition": run.condition,
        "propagator": carrier.settings(),
    }
    found = finish(run, status, transient, warmup, settings, system)
    if covariant and status is not Status.DIVERGED:
        from neurosparse.lyapunov.covariant import follow

        found.covariant = follow(found, system, progress=progress)
    return found


def _check(given: dict[str, Any]) -> None:
    """Refuse lengths that are not positive and names that are not known."""
    check_seed("spectrum", given["seed"])
    for name in ("precision", "duration", "max_duration", "dt", "interval"):
        value = given[name]
        if value is not None and not (_is_number(value) and value > 0):
            raise InputError("spectrum", found=f"{name}={value!r}", expected=f"{name} > 0")
    for name in ("transient", "warmup"):
        value = given[name]
        if value is not None and not (_is_number(value) and 0 <= value < math.inf):
            raise InputError(
                "spectrum", found=f"{name}={value!r}", expected=f"{name} >= 0 and finite"
            )
    allowed = {
        "orthogonalise": qr.METHODS,
        "dtype": tuple(CONDITION),
        "on_failure": ("status", "raise"),
    }
    for name, names in allowed.items():
        if given[name] not in names:
            raise InputError(
                "spectrum", found=f"{name}={given[name]!r}", expected=" or ".join(map(repr, names))
            )
    x0 = given["x0"]
    if x0 is not None and not np.isfinite(np.asarray(x0, dtype=float)).all():
        raise InputError("spectrum", found="x0 that is not finite", expected="a finite state")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))


def _count(k: int | None, size: int) -> int:
    if k is None:
        return size
    if isinstance(k, bool) or not _is_number(k) or int(k) != k or not 1 <= k <= size:
        raise InputError("spectrum", found=f"k={k!r}", expected=f"a whole number 1 <= k <= {size}")
    return int(k)


def _lengths(
    carrier: Propagator,
    transient: float | None,
    warmup: float | None,
    duration: float | None,
    precision: float | None,
    max_duration: float | None,
) -> tuple[float, float, Target]:
    first, second, third = carrier.lengths()
    least = duration if duration is not None else (0.1 * third if precision else third)
    most = max_duration if max_duration is not None else 100 * third
    return (
        first if transient is None else float(transient),
        second if warmup is None else float(warmup),
        Target(least, max(most, least) if max_duration is None else most, precision),
    )


def _prepare(run: Run, transient: float, warmup: float, target: Target) -> None:
    """Run the state, then the frame, to where the measuring begins."""
    carrier = run.propagator
    carrier.advance(round(transient / carrier.unit))
    run.diverged = not carrier.finite()
    longest = max(1, int(min(5 * carrier.timescale, target.least / 100) / carrier.unit))
    run.warm_up(round(warmup / carrier.unit), longest)
    run.start()


def _raise_divergence(carrier: Propagator, time: float) -> None:
    from neurosparse.errors import DivergenceError

    raise DivergenceError(
        "spectrum",
        found=f"a state or frame that is not finite at time {time:g}",
        expected="a bounded trajectory",
        mend="Take a smaller dt, another x0, or look at the system.",
    )
