"""How fast is our two-time mean-field theory against the peer's, at equal error?

    python benchmarks/bench_two_time.py --peer FOLDER [--quick] [--json FILE]

The peer is ZouWenXuan/Dynamical-Mean-Field-Theory; FOLDER is its checkout (the one that holds
``model/DMFT_numeric.py``). Same problem for both: 400 steps of dt 0.05, reciprocal correlation,
x(0) ~ N(0, 1), Euler, whose discrete theory is exact, so that what is left is sampling error and
convergence of the peer's damped iteration. The error of both is the root mean square over all
(t, s) of C_x against a reference: the deterministic solution for the linear gain, a long run of
ours (100 times the trajectories, another seed) for tanh. Ours runs with a growing number of
trajectories; its time at the peer's error is read off the fit error² ~ 1/time. The linear gain
has no sampling error in ours at all, so its time stands as it is.

The peer stores T² numbers a trajectory, so that its trajectories are limited here to what fits:
--peer-trajectories and --peer-iterations; its default (30 + 10 + 20 iterations with 1e3, 1e4 and
1e5 trajectories) takes hours. Its time counts iterations alone, ours the whole call.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.meanfield.two_time import two_time

Array = NDArray[np.float64]

CASES = [("linear", 0.5, 0.5), ("tanh", 1.5, 0.5)]
PEER_NAMES = {"linear": "None", "tanh": "Tanh"}


def rms(difference: Array) -> float:
    """Root mean square of a matrix."""
    return float(np.sqrt(np.mean(difference**2)))


def ours(phi: str, gain: float, symmetry: float, steps: int, dt: float, each: int, replicas: int,
         seed: int) -> tuple[Array, float]:
    """C_x at the peer's times and seconds."""
    start = time.perf_counter()
    result = two_time(gain, phi, symmetry=symmetry, duration=(steps - 1) * dt, dt=dt,
                      scheme="euler", trajectories=each * replicas, replicas=replicas, seed=seed)
    return result.covariance, time.perf_counter() - start


def peer(folder: Path, phi: str, gain: float, symmetry: float, steps: int, dt: float,
         trajectories: list[int], iterations: list[int]) -> tuple[Array, float]:
    """The peer's C_x and seconds."""
    sys.path.insert(0, str(folder))
    module: Any = importlib.import_module("model.DMFT_numeric")
    np.random.seed(0)  # noqa: NPY002 -- the peer draws from the global generator
    solver = module.DMFT_rate_model(
        gain, symmetry, 0.0, PEER_NAMES[phi], (steps + 0.5) * dt, dt, trajectories, iterations, 0.7,
        1e-10, "normal", 1.0)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        found = solver.main_loop()
    seconds = time.perf_counter() - start
    return np.asarray(found[2]), seconds


def main() -> None:
    """Time both on each case and print the ratio at equal error."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", type=Path, help="folder of the peer's checkout")
    parser.add_argument("--quick", action="store_true", help="100 steps, few trajectories")
    parser.add_argument("--peer-trajectories", type=int, nargs="*", default=[300, 1000])
    parser.add_argument("--peer-iterations", type=int, nargs="*", default=[25, 6])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    steps, dt = (100, 0.1) if asked.quick else (400, 0.05)
    record: dict[str, Any] = {"steps": steps, "dt": dt}
    for phi, gain, symmetry in CASES:
        print(f"\n{phi}, g = {gain}, eta = {symmetry}, {steps} steps of {dt}")
        case: dict[str, Any] = {"ours": []}
        reference = ours(phi, gain, symmetry, steps, dt, 8 * steps, 8 if asked.quick else 64, 99)[0]
        ours(phi, gain, symmetry, 20, dt, 64, 2, 0)  # warm-up
        for each, replicas in ((steps, 2), (2 * steps + 2, 2), (4 * steps, 2), (4 * steps, 8)):
            runs = [ours(phi, gain, symmetry, steps, dt, each, replicas, seed) for seed in range(3)]
            error = float(np.sqrt(np.mean([rms(c - reference) ** 2 for c, _ in runs])))
            seconds = float(np.median([s for _, s in runs]))
            case["ours"].append({"trajectories": each * replicas, "error": error, "s": seconds})
            print(f"  ours {each * replicas:8d} trajectories {seconds:9.3f} s  error {error:.2e}")
        if asked.peer is not None:
            found, seconds = peer(asked.peer, phi, gain, symmetry, steps, dt,
                                  asked.peer_trajectories, asked.peer_iterations)
            error = rms(found - reference)
            equal = _time_at(case["ours"], error)
            case["peer"] = {"error": error, "s": seconds, "ours_at_equal_error": equal}
            print(f"  peer {asked.peer_trajectories} trajectories x {asked.peer_iterations} "
                  f"iterations {seconds:9.1f} s  error {error:.2e}")
            print(f"  ours at that error {equal:.3f} s: {seconds / equal:.0f}x faster")
        record[phi] = case
    if asked.json:
        asked.json.write_text(json.dumps(record, indent=2), encoding="utf-8")


def _time_at(rows: list[dict[str, float]], error: float) -> float:
    """Our time at an error: the smallest measured one that reaches it, else by error² ~ 1/time."""
    reached = [row["s"] for row in rows if row["error"] <= error]
    if reached:
        return min(reached)
    best = min(rows, key=lambda row: row["error"])
    return best["s"] * (best["error"] / error) ** 2


if __name__ == "__main__":
    main()
