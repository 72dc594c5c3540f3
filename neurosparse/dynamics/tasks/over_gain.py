"""A task over gain, with and without the regulation, on the same networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import Couplings
from neurosparse.dynamics.excitatory_inhibitory import ei_couplings
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.gains import sigmoid
from neurosparse.dynamics.gaussian import gaussian_couplings
from neurosparse.dynamics.tasks.force import force_learning
from neurosparse.dynamics.tasks.latency import neural_latency
from neurosparse.dynamics.tasks.memory import memory_curve
from neurosparse.dynamics.tasks.prediction import prediction_curve
from neurosparse.errors import InputError
from neurosparse.progress import Progress, silent
from neurosparse.sweeps import SweepResult, draw_seed, sweep

TASKS = ("force", "latency", "memory", "prediction")

# papers.md 1(c)5; g multiplies all of it.
_LATENCY_COUPLINGS = {"std_e": 0.3, "std_i": 0.3, "excitatory": 0.4, "mean_e": 0.6,
                      "mean_i": -0.4, "density": 0.2}


@dataclass(frozen=True)
class TaskCurves:
    """A task's results over gain and γ.

    Attributes
    ----------
    task
        Its name.
    gain, gamma
        The axes [G], [Γ].
    mean, stderr
        By name of the result, over draws of the couplings, [G, Γ, ...].
    median
        Over draws [G, Γ, ...]: a score has no lower bound, and one draw whose readout runs away
        decides the mean.
    difference, difference_stderr
        Regulated minus vanilla, i.e. the last γ minus the first, paired by draw, [G, ...].
    sweep
        Everything by draw; its file can be resumed.
    """

    task: str
    gain: NDArray[np.float64]
    gamma: NDArray[np.float64]
    mean: dict[str, NDArray[np.float64]]
    stderr: dict[str, NDArray[np.float64]]
    median: dict[str, NDArray[np.float64]]
    difference: dict[str, NDArray[np.float64]]
    difference_stderr: dict[str, NDArray[np.float64]]
    sweep: SweepResult


def task_over_gain(
    task: str,
    gain: Sequence[float],
    gamma: Sequence[float] = (0.0, 1.0),
    *,
    n: int = 1000,
    draws: int = 10,
    couplings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    executor: Any = None,
    workers: int | None = None,
    resume: bool = True,
    progress: Progress = silent,
) -> TaskCurves:
    """Run a task on ``draws`` networks at every gain, with every γ on the same networks.

    A draw has the same random numbers in its couplings, start and signal at every g and γ, so
    that differences are paired.

    Parameters
    ----------
    task
        One of ``TASKS``.
    gain, gamma
        Gains g and Onsager switches γ.
    couplings
        Further arguments of :func:`gaussian_couplings`; for latency of :func:`ei_couplings`, the
        paper's by default.
    options
        Further arguments of the task, such as ``{"signal": "noise"}``; ``phi`` is the name of the
        gain function (tanh; for latency the sigmoid with maximum 0.2).
    seed, store, executor, workers, resume, progress
        See :func:`neurosparse.sweeps.sweep`.

    Raises
    ------
    InputError
        An unknown task, or a value that it refuses.
    """
    if task not in TASKS:
        raise InputError("task_over_gain", found=f"task = {task!r}", expected=f"one of {TASKS}")
    result = sweep(
        run_point, {"g": gain, "gamma": gamma, "draw": range(draws)},
        fixed={"task": task, "n": n, "couplings": dict(couplings or {}),
               "options": dict(options or {}), "base": seed},
        seed=seed, store=store, executor=executor, workers=workers, resume=resume,
        progress=progress,
    )
    # without the axis of repeats: the draws are an axis of the grid
    kept = {name: values[:, :, :, 0] for name, values in result.values.items()}
    paired = {name: values[:, -1] - values[:, 0] for name, values in kept.items()}
    return TaskCurves(
        task, np.asarray(gain, dtype=np.float64), np.asarray(gamma, dtype=np.float64),
        mean={name: v.mean(axis=2) for name, v in kept.items()},
        stderr={name: _error(v, 2) for name, v in kept.items()},
        median={name: np.median(v, axis=2) for name, v in kept.items()},
        difference={name: v.mean(axis=1) for name, v in paired.items()},
        difference_stderr={name: _error(v, 1) for name, v in paired.items()},
        sweep=result,
    )


def _error(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    count = values.shape[axis]
    if count < 2:
        return np.full_like(values.mean(axis=axis), np.nan)
    with np.errstate(invalid="ignore"):
        return np.asarray(values.std(axis=axis, ddof=1) / np.sqrt(count))


def run_point(
    g: float, gamma: float, draw: int, *, task: str, n: int, couplings: dict[str, Any],
    options: dict[str, Any], base: int, seed: int,
) -> dict[str, Any]:
    """One network of a draw, by name of the result; the draw decides the random numbers alone.

    The sweep's own ``seed`` of the point is not used: it would differ between g and γ.
    """
    del seed
    drawn = draw_seed(base, draw)
    options = dict(options)
    phi = options.pop("phi", None)
    J: Couplings
    if task == "latency":
        J = ei_couplings(n, **{**_LATENCY_COUPLINGS, **couplings}, gain=g, seed=drawn)
        latency = neural_latency(Flow(J, gamma, phi or sigmoid(0.2)), seed=drawn, **options)
        return {"median": latency.median, "silent": latency.silent}
    J = gaussian_couplings(n, g, seed=drawn, **couplings)
    flow = Flow(J, gamma, phi or "tanh")
    if task == "force":
        force = force_learning(flow, seed=drawn, **options)
        return {"train_score": force.train_score, "test_score": force.test_score,
                "change": force.change}
    curve = (memory_curve if task == "memory" else prediction_curve)(flow, seed=drawn, **options)
    return {"scores": curve.scores, "train_scores": curve.train_scores,
            "capacity": curve.capacity}
