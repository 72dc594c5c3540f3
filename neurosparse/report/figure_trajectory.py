"""Figure: a few neurons of a run, and its kinetic energy with the phases marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.report import paper, theme
from neurosparse.report.log_axis import log_axis

Array = NDArray[np.float64]

_MOST_POINTS = 2000


class TrajectoryLike(Protocol):
    """A ``dynamics.Trajectory``: times [T], states [T, N] (array or HDF5 dataset), energy [T]."""

    times: Array
    states: Any
    energy: Array
    settings: dict[str, Any]


def trajectory(*runs: TrajectoryLike, neurons: int | Sequence[int] = 6,
               labels: Sequence[str] | None = None,
               phases: Sequence[tuple[float, str]] | None = None,
               width: float = paper.COLUMN) -> Figure:
    """Draw some neurons against time, and the kinetic energy per neuron below them.

    Several runs are drawn one after the other, as a network whose Onsager switch is turned on and
    off; a run whose clock starts anew begins where the one before it ended.

    Parameters
    ----------
    *runs
        ``dynamics.Trajectory`` objects; states stored in a file are read in part only.
    neurons
        How many (evenly spaced), or which.
    labels
        A name for each run; γ of its settings if not given and there are several.
    phases
        (start, name) of phases within one run, instead of ``labels``.
    width
        Inches.

    Raises
    ------
    InputError
        No run, none recorded, runs of different sizes, or labels that are not one a run.
    """
    times, lines, energy, marks = _joined(runs, neurons, labels)
    if phases is not None:
        marks = [(float(start), str(name)) for start, name in phases]
    with paper.settings():
        has_energy = len(energy) > 0
        figure = theme.new_figure(width, 3.8 if has_energy else 2.3)
        panels = (list(figure.subplots(2, 1, sharex=True, height_ratios=[1.3, 1]))
                  if has_energy else [figure.subplots()])
        paper.letters(panels, ["Neurons", "Kinetic energy per neuron"][:len(panels)])
        for place, (number, values) in enumerate(lines.items()):
            panels[0].plot(times, values, color=theme.ordered(place, len(lines)), linewidth=0.9,
                           gid=f"neuron {number}")
        panels[0].set_ylabel("x")
        if has_energy:
            panels[1].plot(times, energy, color=theme.light("strong"), linewidth=1.2, gid="energy")
            log_axis(panels[1], [energy])
            panels[1].set_ylabel("E / N")
        for axes in panels:
            theme.tidy(axes)
            axes.set_xlim(times[0], times[-1])
        panels[-1].set_xlabel("time")
        _mark(panels, marks, times[-1])
    return figure


def _joined(runs: Sequence[TrajectoryLike], neurons: int | Sequence[int],
            labels: Sequence[str] | None
            ) -> tuple[Array, dict[int, Array], Array, list[tuple[float, str]]]:
    """Times, neurons by number, energy per neuron (empty unless all have it), phases."""
    operation = "draw a trajectory"
    if not runs or any(len(run.times) == 0 for run in runs):
        raise InputError(operation, found="no recorded state", expected="at least one")
    sizes = {tuple(run.states.shape[1:]) for run in runs}
    if len(sizes) > 1 or len(next(iter(sizes))) != 1:
        raise InputError(operation, found=f"states of shapes {sorted(sizes)}",
                         expected="one state [N] of one network at each time")
    if labels is not None and len(labels) != len(runs):
        raise InputError(operation, found=f"{len(labels)} labels", expected=f"{len(runs)}")
    size = next(iter(sizes))[0]
    chosen = _chosen(operation, neurons, size)
    stride = max(1, -(-sum(len(run.times) for run in runs) // _MOST_POINTS))
    times, energy, marks = [], [], []
    states: list[Array] = []
    end = -np.inf
    for number, run in enumerate(runs):
        clock = np.asarray(run.times, dtype=np.float64)
        shift = end - clock[0] if clock[0] < end else 0.0
        keep = np.arange(0, len(clock), stride)
        if keep[-1] != len(clock) - 1:
            keep = np.append(keep, len(clock) - 1)
        times.append(clock[keep] + shift)
        # Rows in a file are read as a slice, then the last: a list of rows would be slow there.
        rows = [np.asarray(run.states[:: stride])]
        if len(rows[0]) < len(keep):
            rows.append(np.asarray(run.states[len(clock) - 1:]))
        states.append(np.concatenate(rows)[:, chosen])
        if len(run.energy) == len(clock):
            energy.append(np.asarray(run.energy, dtype=np.float64)[keep] / size)
        end = float(times[-1][-1])
        if len(runs) > 1:
            named = f"γ = {run.settings['gamma']:g}" if "gamma" in run.settings else ""
            marks.append((float(times[-1][0]), labels[number] if labels else named))
    values = np.concatenate(states)
    return (np.concatenate(times), {n: values[:, i] for i, n in enumerate(chosen)},
            np.concatenate(energy) if len(energy) == len(runs) else np.empty(0), marks)


def _chosen(operation: str, neurons: int | Sequence[int], size: int) -> list[int]:
    if isinstance(neurons, int):
        found = np.linspace(0, size - 1, min(max(neurons, 1), size)).round().astype(int).tolist()
    else:
        found = [int(n) for n in neurons]
    if not found or not all(0 <= n < size for n in found):
        raise InputError(operation, found=f"neurons {neurons!r}",
                         expected=f"numbers from 0 to {size - 1}")
    return list(found)


def _mark(panels: Sequence[Axes], marks: list[tuple[float, str]], end: float) -> None:
    """A tint for every second phase, a line where each begins, and its name at the top."""
    for number, (start, name) in enumerate(marks):
        stop = marks[number + 1][0] if number + 1 < len(marks) else end
        for axes in panels:
            if number % 2:
                axes.axvspan(start, stop, color=theme.light("warm"), alpha=0.10, linewidth=0,
                             zorder=0, gid=f"phase {number}")
            if number:
                axes.axvline(start, color=theme.light("soft"), linewidth=0.7, zorder=0,
                             linestyle=(0, (3, 2)), gid=f"start {number}")
        panels[0].annotate(name, (0.5 * (start + stop), 1.0), ha="center", va="top",
                           xytext=(0, -2), textcoords="offset points", color=theme.light("ink"),
                           xycoords=("data", "axes fraction"))
    if marks:
        low, high = panels[0].get_ylim()
        panels[0].set_ylim(low, high + 0.14 * (high - low))
