"""Spectra averaged over draws of a random system."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.lyapunov.dimension import entropy_rate, kaplan_yorke
from neurosparse.lyapunov.running import Status
from neurosparse.progress import Progress, silent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EnsembleSpectrum:
    """Exponents of several draws, with the error over draws apart from the error over time.

    Attributes
    ----------
    each
        [draws, k] exponents.
    each_stderr
        [draws, k] their standard errors over time.
    each_sum_rule_residual
        [draws], NaN where it is not known.
    statuses
        How each run ended.
    seeds
        Seed of each draw.
    """

    each: Array
    each_stderr: Array
    each_sum_rule_residual: Array
    statuses: tuple[Status, ...]
    seeds: tuple[int, ...]

    @property
    def exponents(self) -> Array:
        """Mean over draws [k]. NaN if a draw diverged: none is left out behind your back."""
        found: Array = self.each.mean(axis=0)
        return found

    @property
    def stderr(self) -> Array:
        """Standard error [k] of the mean, from the scatter of the draws: time is in it already."""
        count = len(self.each)
        if count < 2:
            return np.full(self.each.shape[1], np.nan)
        with np.errstate(invalid="ignore"):
            found: Array = self.each.std(axis=0, ddof=1) / np.sqrt(count)
        return found

    @property
    def stderr_time(self) -> Array:
        """Part [k] of it that longer runs would remove."""
        found: Array = np.sqrt((self.each_stderr**2).sum(axis=0)) / len(self.each)
        return found

    @property
    def stderr_draws(self) -> Array:
        """Part [k] of it that only more draws would remove; 0 where time explains all."""
        found: Array = np.sqrt(np.maximum(self.stderr**2 - self.stderr_time**2, 0.0))
        return found

    @property
    def kaplan_yorke(self) -> tuple[float, float]:
        """Mean of the draws' Kaplan-Yorke dimensions, and its standard error."""
        return _over_draws([kaplan_yorke(row) for row in self.each])

    @property
    def entropy_rate(self) -> tuple[float, float]:
        """Mean of the draws' entropy rates, and its standard error."""
        return _over_draws([entropy_rate(row) for row in self.each])


def _over_draws(values: list[float]) -> tuple[float, float]:
    count = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
    return float(np.mean(values)), error


def average_spectrum(
    make_system: Callable[[int], Any],
    *,
    draws: int = 8,
    k: int | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    progress: Progress = silent,
    **options: Any,
) -> EnsembleSpectrum:
    """Spectra of several draws of a random system, and their mean.

    Parameters
    ----------
    make_system
        ``make_system(seed) -> system``; with an executor of processes it has to be a function that
        the other process can import.
    draws
        How many; draw i has the seed ``seed + i``, for the system and for its run.
    k
        Exponents, as for :func:`spectrum`.
    seed
        Of the first draw.
    executor
        Any ``concurrent.futures`` executor; in this process by default.
    progress
        Called as ``progress("draws", done, total)``.
    **options
        Options of :func:`spectrum`.

    Returns
    -------
    EnsembleSpectrum
        In the order of the draws, whoever was done first.

    Raises
    ------
    InputError
        No draws.

    Examples
    --------
    >>> import numpy as np
    >>> def ginibre(seed):
    ...     rng = np.random.default_rng(seed)
    ...     return MatrixSequence(rng.standard_normal((500, 4, 4)) / 2)
    >>> from neurosparse.lyapunov import MatrixSequence
    >>> average_spectrum(ginibre, draws=4).exponents.shape
    (4,)
    """
    if isinstance(draws, bool) or int(draws) != draws or draws < 1:
        raise InputError("average spectrum", found=f"draws={draws!r}", expected="at least 1")
    seeds = tuple(seed + draw for draw in range(draws))
    if executor is None:
        found = []
        for number in seeds:
            found.append(_one(make_system, number, k, options))
            progress("draws", len(found), draws)
    else:
        futures = [executor.submit(_one, make_system, number, k, options) for number in seeds]
        found = []
        for future in futures:
            found.append(future.result())
            progress("draws", len(found), draws)
    each, stderr, residual, statuses = zip(*found, strict=True)
    return EnsembleSpectrum(
        np.array(each), np.array(stderr), np.array(residual, dtype=float), statuses, seeds
    )


def _one(
    make_system: Callable[[int], Any], seed: int, k: int | None, options: dict[str, Any]
) -> tuple[Array, Array, float, Status]:
    from neurosparse.lyapunov.spectrum import spectrum

    found = spectrum(make_system(seed), k, seed=seed, **options)
    residual = found.sum_rule_residual
    return (
        found.exponents,
        found.stderr,
        float("nan") if residual is None else residual,
        found.status,
    )
