"""The noun of this room: a spectrum with its errors, and all that is needed to go on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.lyapunov import dimension
from neurosparse.lyapunov.blocklog import BlockLog
from neurosparse.lyapunov.driver import Run
from neurosparse.lyapunov.propagator import State, propagator
from neurosparse.lyapunov.running import Status, Target, measure
from neurosparse.lyapunov.statistics import CorrelatedMean, correlated_mean
from neurosparse.progress import Progress, silent

if TYPE_CHECKING:
    from neurosparse.lyapunov.covariant import CovariantVectors

Array = NDArray[np.float64]


@dataclass
class Spectrum:
    """Lyapunov exponents of a system, with errors. Made by :func:`spectrum`.

    All rates are per unit of the system's time (per step for maps and layers).

    Attributes
    ----------
    status
        How the run ended, a :class:`Status`.
    size
        N, the dimension of the tangent space.
    duration, transient, warmup
        Time measured; time that the state ran before; time that the frame ran before.
    unit
        Time of one step.
    interval
        Time between two orthonormalisations.
    settings
        What was asked for and how it was computed.
    volume
        Integral of the trace over the measured time, where it is known (``k == N``).
    covariant
        Covariant vectors, if they were asked for.
    """

    status: Status
    size: int
    duration: float
    transient: float
    warmup: float
    unit: float
    interval: float
    settings: dict[str, Any]
    volume: float | None
    log: BlockLog = field(repr=False)
    base_time: float = field(repr=False)
    frame: Array = field(repr=False)
    state: State = field(repr=False)
    covariant: CovariantVectors | None = field(default=None, repr=False)
    system: Any = field(default=None, repr=False)

    @property
    def k(self) -> int:
        """How many exponents."""
        return self.log.k

    @property
    def block_time(self) -> float:
        """Time of one row of ``block_logs``."""
        return self.log.merged * self.base_time

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """QR finds the exponents in descending order, but for sampling: sort the few others."""
        return np.argsort(-self.log.total, kind="stable")

    @cached_property
    def block_logs(self) -> Array:
        """Log growth [m, k] over each of m successive blocks of ``block_time``.

        At most 4096 blocks are kept (less where k > 64): neighbours are merged as the run goes on.
        """
        return self.log.rows[:, self._order]

    @cached_property
    def exponents(self) -> Array:
        """Lyapunov exponents [k], descending, per unit of time; NaN if the run diverged."""
        if self.status is Status.DIVERGED or self.duration == 0:
            return np.full(self.k, np.nan)
        return self.log.total[self._order] / self.duration

    @cached_property
    def _statistics(self) -> CorrelatedMean:
        if len(self.block_logs) == 0 or self.status is Status.DIVERGED:
            nothing = np.full(self.k, np.nan)
            return CorrelatedMean(nothing, nothing, nothing, nothing)
        return correlated_mean(self.block_logs / self.block_time)

    @property
    def stderr(self) -> Array:
        """Standard errors [k] from the correlated block logs; NaN with fewer than 8 blocks."""
        return self._statistics.stderr

    @property
    def effective_samples(self) -> Array:
        """Number [k] of independent blocks that would have the same error."""
        return self._statistics.effective_samples

    def confidence(self, level: float = 0.95) -> tuple[Array, Array]:
        """Ends [k] of the confidence interval of each exponent (Student's t)."""
        found = dataclasses.replace(self._statistics, mean=self.exponents)
        return found.interval(level)

    def running(self) -> tuple[Array, Array]:
        """Estimates as they would have been at earlier times: times [m], estimates [m, k]."""
        times = self.block_time * np.arange(1.0, len(self.block_logs) + 1)
        growth: Array = np.cumsum(self.block_logs, axis=0)
        estimates: Array = np.divide(growth, times[:, None])
        return times, estimates

    def finite_time(self, window: float) -> Array:
        """Exponents [m', k] over successive windows of this time (a whole number of blocks).

        Raises
        ------
        InputError
            The window is shorter than a block or longer than the record.
        """
        blocks = round(window / self.block_time)
        if not 1 <= blocks <= len(self.block_logs):
            raise InputError(
                "finite-time exponents",
                found=f"window={window!r}",
                expected=f"between {self.block_time:g} and {self.duration:g}",
            )
        kept = len(self.block_logs) // blocks
        rows = self.block_logs[: kept * blocks].reshape(kept, blocks, self.k)
        found: Array = rows.sum(axis=1) / (blocks * self.block_time)
        return found

    @property
    def sum_rule_residual(self) -> float | None:
        """Distance between the sum of all exponents and the mean trace; None if not known.

        It is a check of the numerics (QR, time step, tangent), free of sampling error.
        """
        if self.volume is None or self.k < self.size or not np.isfinite(self.exponents).all():
            return None
        return abs(float(self.exponents.sum()) - self.volume / self.duration)

    @property
    def kaplan_yorke(self) -> float:
        """Kaplan-Yorke dimension; NaN if k exponents do not reach it."""
        return dimension.kaplan_yorke(self.exponents)

    @property
    def kaplan_yorke_stderr(self) -> float:
        """Its standard error, to first order in the exponents, correlations included."""
        index = dimension.dimension_index(self.exponents)
        if np.isnan(self.kaplan_yorke) or index == self.k:
            return float("nan")
        if index == 0:
            return 0.0
        total, next_one = self.exponents[:index].sum(), self.exponents[index]
        rates = self.block_logs / self.block_time
        linear = rates[:, :index].sum(axis=1) / -next_one + rates[:, index] * total / next_one**2
        return float(correlated_mean(linear).stderr[0])

    @property
    def entropy_rate(self) -> float:
        """Sum of the positive exponents, nats per unit of time."""
        return dimension.entropy_rate(self.exponents)

    @property
    def entropy_rate_stderr(self) -> float:
        """Its standard error, correlations between exponents included; 0 if none is positive."""
        positive = self.exponents > 0
        if not positive.any():
            return float("nan") if np.isnan(self.exponents).any() else 0.0
        return float(correlated_mean(self.block_logs[:, positive].sum(axis=1)).stderr[0]) / (
            self.block_time
        )

    def extend(
        self,
        *,
        duration: float | None = None,
        precision: float | None = None,
        max_duration: float | None = None,
        system: Any = None,
        progress: Progress = silent,
    ) -> Spectrum:
        """Go on from where this ended; this spectrum stays as it is.

        Parameters
        ----------
        duration
            Further time (default: as long again, or none where a precision is asked for).
        precision
            Go on until every standard error is at most this.
        max_duration
            Longest further time where a precision is asked for (default: 100 times what is there).
        system
            The system, after :meth:`load`.

        Returns
        -------
        Spectrum
            Over all the time. The same as one long run with the same settings.

        Raises
        ------
        InputError
            A length is not positive, the run diverged, or the system is needed and not given.
        """
        system = self.system if system is None else system
        if system is None:
            raise InputError("extend", found="no system", expected="system=..., after a load")
        if self.status is Status.DIVERGED:
            raise InputError("extend", found="a run that diverged", expected="a finite one")
        for name, value in (("duration", duration), ("precision", precision)):
            if value is not None and not value > 0:
                raise InputError("extend", found=f"{name}={value!r}", expected=f"{name} > 0")
        further = duration if duration is not None else (0.0 if precision else self.duration)
        run = self.resume(system)
        target = Target(
            least=self.duration + further,
            most=self.duration + (max_duration or max(further, 100 * self.duration)),
            precision=precision,
        )
        status = measure(run, target, progress)
        settings = {**self.settings, "precision": precision}
        return finish(run, status, self.transient, self.warmup, settings, system)

    def resume(self, system: Any) -> Run:
        """A run of the driver that goes on from here; this spectrum stays as it is."""
        options = self.settings["options"]
        carrier = propagator(system, **options)
        if carrier.size != self.size:
            raise InputError(
                "extend", found=f"a system of size {carrier.size}", expected=f"size {self.size}"
            )
        carrier.restore(self.state)
        return Run(
            carrier,
            self.frame.copy(order="F"),
            self.settings["orthogonalise"],
            block_steps=self.settings["block_steps"],
            qr_steps=max(1, round(self.interval / self.unit)),
            adaptive=self.settings["adaptive"],
            condition=self.settings["condition"],
            log=self.log.copy(),
            volume=self.volume,
            time=self.duration,
        )

    def save(self, path: str | Path) -> None:
        """Write everything but the system to an HDF5 file, whole or not at all."""
        from neurosparse.lyapunov.storage import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Spectrum:
        """Read what :meth:`save` wrote; to ``extend`` it, pass the system there."""
        from neurosparse.lyapunov.storage import load

        return load(path)


def finish(
    run: Run, status: Status, transient: float, warmup: float, settings: dict[str, Any], system: Any
) -> Spectrum:
    """Make the result of a run."""
    carrier = run.propagator
    return Spectrum(
        status=status,
        size=carrier.size,
        duration=run.time,
        transient=transient,
        warmup=warmup,
        unit=carrier.unit,
        interval=run.qr_steps * carrier.unit,
        settings={**settings, "block_steps": run.block_steps},
        volume=run.volume,
        log=run.log,
        base_time=run.block_time,
        frame=run.frame,
        state=carrier.state(),
        system=system,
    )
