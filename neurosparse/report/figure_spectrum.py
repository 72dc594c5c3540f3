"""Figure: a Lyapunov spectrum with its errors, and how its estimates settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.report import paper, theme
from neurosparse.report.numbers import with_error

Array = NDArray[np.float64]

_FEW = 60
"""Up to so many exponents every one has its own mark; more are a line with a band."""


class SpectrumLike(Protocol):
    """A ``lyapunov.Spectrum`` or ``EnsembleSpectrum``: exponents and standard errors, [k]."""

    @property
    def exponents(self) -> Array:
        """Descending."""

    @property
    def stderr(self) -> Array:
        """Standard errors."""


class DensityLike(Protocol):
    """A ``meanfield.SpectrumDensity``: thresholds s and the share F of exponents below, [M]."""

    @property
    def thresholds(self) -> Array:
        """Rising."""

    @property
    def cumulative(self) -> Array:
        """F."""

    @property
    def stderr(self) -> Array:
        """Standard error of F; NaN where it is not known."""

    @property
    def upper_edge(self) -> float:
        """Where F reaches one."""


Theory = DensityLike | tuple[ArrayLike, ArrayLike]


def spectrum(result: SpectrumLike, *, theory: Theory | None = None,
             running: bool | Sequence[int] = True, size: int | None = None,
             width: float = paper.COLUMN) -> Figure:
    """Draw the exponents against i/N, and below them how their running estimates came to rest.

    Errors are one standard error. With fewer than ten dimensions the axis counts exponents.

    Parameters
    ----------
    result
        A ``lyapunov.Spectrum``, an ``EnsembleSpectrum``, or any object with its ``exponents`` and
        ``stderr``. Exponents that are not finite (collapsed directions) are left out and counted
        in the title.
    theory
        A ``meanfield.SpectrumDensity``; or (s, F), the share F of exponents at most s, such as
        ``meanfield.gaussian_product_distribution`` gives. Drawn as a line through (1 - F, s), with
        a band of one standard error where the theory has one.
    running
        Whether to draw the second panel, for a result that has ``running()``; or which exponents
        in it, counted from 0.
    size
        N, where the result does not know it (an ensemble's with k < N).
    width
        Inches.

    Raises
    ------
    InputError
        No exponent is finite (the run diverged), or ``theory`` is not two arrays of one length.
    """
    exponents = np.asarray(result.exponents, dtype=np.float64)
    if not np.any(np.isfinite(exponents)):
        raise InputError("draw a spectrum", found="no finite exponent",
                         expected="at least one; its status says why there is none")
    curves = None if running is False else _running(result, running, exponents)
    with paper.settings():
        figure = theme.new_figure(width, 2.5 if curves is None else 4.5)
        if curves is None:
            top = figure.subplots()
            paper.letters([top], [_title(result)])
        else:
            top, bottom = figure.subplots(2, 1, height_ratios=[1.25, 1])
            paper.letters([top, bottom], [_title(result), "Running estimate less the final one"])
            _settling(bottom, *curves, np.asarray(result.stderr), len(exponents))
        _exponents(top, result, exponents, size or getattr(result, "size", None), theory)
    return figure


def _title(result: SpectrumLike) -> str:
    """The largest exponent with its error, and how many are not finite."""
    exponents = np.asarray(result.exponents)
    lost = int(np.sum(~np.isfinite(exponents)))
    if lost:
        return f"Exponents, {lost} not finite"
    return "Exponents, λ₁ = " + with_error(float(exponents[0]), float(result.stderr[0]))


def _exponents(axes: Axes, result: SpectrumLike, exponents: Array, size: int | None,
               theory: Theory | None) -> None:
    total = max(size or 0, len(exponents))
    unit = 1 if total < 10 else total
    place = np.arange(1, len(exponents) + 1) / unit
    stderr = np.asarray(result.stderr, dtype=np.float64)
    finite = np.isfinite(exponents)
    axes.axhline(0, color=theme.light("faint"), linewidth=0.9)
    if theory is not None:
        s, above, blur = _distribution(theory)
        scale = total / unit
        axes.plot(above * scale, s, color=theme.light("warm"), gid="theory",
                  label="mean-field theory", zorder=4, linewidth=1.0)
        if np.any(blur > 0):
            axes.fill_betweenx(s, (above - blur) * scale, (above + blur) * scale, linewidth=0,
                               color=theme.light("warm"), alpha=0.25, gid="theory band")
    colour = theme.light("strong")
    if len(exponents) <= _FEW:
        paper.points(axes, place[finite], exponents[finite], stderr[finite], colour,
                     gid="exponents", label="measured")
    else:
        axes.plot(place[finite], exponents[finite], color=colour, linewidth=1.8, gid="exponents",
                  label="measured", alpha=0.75 if theory is not None else 1.0)
        error = np.nan_to_num(stderr)
        axes.fill_between(place, exponents - error, exponents + error, where=finite, color=colour,
                          alpha=0.25, linewidth=0)
    theme.tidy(axes)
    axes.set_xlabel("i" if unit == 1 else "i / N")
    axes.set_ylabel("exponent λ")
    if unit == 1:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.6, total + 0.4)
    else:
        axes.set_xlim(-0.03 * place[-1], 1.03 * place[-1])
    if theory is not None:
        # The theory covers all exponents, the measurement perhaps the leading ones.
        low, high = exponents[finite].min(), exponents[finite].max()
        axes.set_ylim(low - 0.06 * (high - low or 1), high + 0.10 * (high - low or 1))
        axes.legend(loc="lower left", frameon=False, handlelength=1.6)


def _distribution(theory: Theory) -> tuple[Array, Array, Array]:
    """Thresholds, share of exponents above each, its standard error (0 where not known)."""
    if isinstance(theory, tuple | list) or not hasattr(theory, "thresholds"):
        s, share = paper.series("draw a spectrum", theory, ("s", "F", "nothing"))[:2]
        return s, 1 - share, np.zeros(s.shape)
    inside = np.asarray(theory.thresholds) < theory.upper_edge
    s = np.append(theory.thresholds[inside], theory.upper_edge)
    above = np.append(1 - theory.cumulative[inside], 0.0)
    return s, above, np.append(np.nan_to_num(theory.stderr[inside]), 0.0)


def _running(result: SpectrumLike, chosen: bool | Sequence[int], exponents: Array
             ) -> tuple[Array, Array, list[int]] | None:
    if not hasattr(result, "running"):
        return None
    times, estimates = result.running()
    if len(times) < 2:
        return None
    finite = np.flatnonzero(np.isfinite(exponents))
    if isinstance(chosen, bool):
        picks = sorted({int(finite[i]) for i in np.linspace(0, len(finite) - 1, 4).round()
                        .astype(int)})
    else:
        picks = [int(i) for i in chosen]
        if not picks or not all(0 <= i < len(exponents) for i in picks):
            raise InputError("draw a spectrum", found=f"running={list(chosen)!r}",
                             expected=f"numbers from 0 to {len(exponents) - 1}")
    return times, estimates - exponents, picks


def _settling(axes: Axes, times: Array, away: Array, picks: list[int], stderr: Array, count: int
              ) -> None:
    axes.axhline(0, color=theme.light("faint"), linewidth=0.9)
    for number in picks:
        colour = theme.ordered(picks.index(number), max(len(picks), 2))
        axes.plot(times, away[:, number], color=colour, linewidth=1.1, gid=f"running {number}",
                  label=f"i = {number + 1}")
        if np.isfinite(stderr[number]):
            axes.errorbar([times[-1] * (1.02 + 0.025 * picks.index(number))], [0.0],
                          yerr=[stderr[number]], color=colour, linewidth=1.2, capsize=2,
                          gid=f"stderr {number}")
    theme.tidy(axes)
    # The first moments are far off and would hide the rest.
    late = away[times > 0.05 * times[-1]][:, picks]
    late = late[np.isfinite(late)]
    reach = max(float(np.abs(late).max(initial=0.0)), 1.5 * float(np.nanmax(
        np.append(stderr[picks], 0.0)))) or 1.0
    axes.set_ylim(-1.15 * reach, 1.15 * reach)
    axes.set_xlim(0, times[-1] * (1.04 + 0.025 * len(picks)))
    axes.set_xlabel("time measured")
    paper.key(axes, columns=min(len(picks), 4))
