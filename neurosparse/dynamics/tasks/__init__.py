"""Tasks: what a network can remember, predict, be taught, and how fast it answers."""

from __future__ import annotations

from neurosparse.dynamics.tasks.curve import ReadoutCurve
from neurosparse.dynamics.tasks.force import ForceResult, force_learning
from neurosparse.dynamics.tasks.latency import Latency, neural_latency
from neurosparse.dynamics.tasks.least_squares import RecursiveLeastSquares
from neurosparse.dynamics.tasks.memory import delay_line, memory_curve
from neurosparse.dynamics.tasks.over_gain import TASKS, TaskCurves, task_over_gain
from neurosparse.dynamics.tasks.prediction import prediction_curve
from neurosparse.dynamics.tasks.readout import Readout, fit_readout, score

__all__ = [
    "TASKS",
    "ForceResult",
    "Latency",
    "Readout",
    "ReadoutCurve",
    "RecursiveLeastSquares",
    "TaskCurves",
    "delay_line",
    "fit_readout",
    "force_learning",
    "memory_curve",
    "neural_latency",
    "prediction_curve",
    "score",
    "task_over_gain",
]
