"""Functions that workers in other processes can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np


def noisy(a: float, b: str, *, seed: int, scale: float = 1.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((40, 40))
    return {"number": scale * a + rng.standard_normal(), "vector": (matrix @ matrix)[0, :3],
            "length": len(b)}


def once_deadly(a: int, *, folder: str, seed: int) -> dict[str, float]:
    """Kill the worker the first time that point 2 is run."""
    mark = Path(folder) / "killed"
    if a == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"y": a + np.random.default_rng(seed).uniform()}


def always_deadly(a: int, *, seed: int) -> dict[str, float]:
    if a == 2:
        os._exit(7)
    return {"y": float(a)}


def slow(a: int, *, folder: str, seconds: float, seed: int) -> dict[str, float]:
    """Leave a mark for each run, and take time from point 3 on."""
    with open(Path(folder) / "ran", "a") as handle:
        handle.write(f"{a}\n")
    if a >= 3:
        time.sleep(seconds)
    return {"y": np.random.default_rng(seed).uniform()}


def pid(a: int, *, seed: int) -> dict[str, float]:
    """Which process runs, for a kill from outside."""
    time.sleep(0.05)
    return {"y": np.random.default_rng(seed).uniform(), "a": a}


def failing(a: int, *, seed: int) -> dict[str, float]:
    if a == 3:
        raise ValueError("three is too much")
    return {"y": float(a)}
