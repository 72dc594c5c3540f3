"""Work against precision for the leading exponents of a random network: ours and a peer's method.

    python benchmarks/bench_work_precision.py [--peer FOLDER] [--out FILE.json]

SCS network, g = 3, N = 1000, the leading 100 exponents. For every method and step:

* work: seconds a unit of time, QR included, timed round by round so that all see the same machine;
* bias: growth of the same frame from the same state, over the same stretches of a fine trajectory,
  minus that of the fine run (RK4, dt = 0.025). Stretches are short beside the time in which chaos
  takes two trajectories apart, so that the difference is the step's and not the sample's;
* sampling error: standard error of the mean of the exponents, from block logs, after one long run.

For a target error e the run must last until the sampling error is sqrt(e^2 - bias^2); the time that
takes is printed for ours and the peer, each at the best of its settings. The peer's settings are
RK4 in fp64 at any step and any QR interval up to ours.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from neurosparse import lyapunov
from neurosparse.dynamics import Flow, StabilityWarning, gaussian_couplings
from neurosparse.lyapunov.driver import random_frame
from neurosparse.lyapunov.orthogonalise import log_diagonal, orthonormalise
from neurosparse.lyapunov.propagator import Propagator, propagator

GAIN, FINE, INTERVAL = 3.0, 0.025, 1.0
LEAD, MEASURED = 2, 4  # intervals: to forget the start of the history, and to measure

OURS = [
    ("rk4", 0.1, "float64"), ("rk4", 0.25, "float64"), ("rk4", 0.5, "float64"),
    ("rk4", 0.25, "float32"), ("rk4", 0.5, "float32"),
    ("exponential-ab3", 0.1, "float32"), ("exponential-ab3", 0.125, "float32"),
    ("exponential-ab3", 0.2, "float32"), ("exponential-ab4", 0.1, "float32"),
    ("exponential-ab4", 0.125, "float32"),
]  # fmt: skip
PEER_STEPS = (0.1, 0.25, 0.5)
TARGETS = (0.01, 0.005, 0.002)


def fine_run(flow: Flow, k: int, stretches: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """State, frame and mean log growth [k] of each stretch of a fine trajectory."""
    fine = propagator(flow, dt=FINE, seed=1)
    fine.advance(round(100 / FINE))
    frame = random_frame(flow.size, k, 0)
    for _ in range(30):
        frame = orthonormalise(fine.carry(frame, round(INTERVAL / FINE)))[0]
    found = []
    for _ in range(stretches):
        start = np.array(fine.state()["x"]), frame.copy(order="F")
        found.append((*start, growth(fine, frame, round(INTERVAL / FINE))))
    return found


def growth(carrier: Propagator, frame: np.ndarray, steps: int, short: int = 0) -> np.ndarray:
    """Mean logs of the intervals after the lead; the first interval is ``short`` steps shorter."""
    logs = []
    for interval in range(LEAD + MEASURED):
        frame = carrier.carry(frame, steps - (short if interval == 0 else 0))
        frame, upper = orthonormalise(frame)
        carrier.rescale(upper)
        logs.append(log_diagonal(upper))
    return np.array(logs)[LEAD:].mean(axis=0) / INTERVAL


def history(flow: Flow, x: np.ndarray, frame: np.ndarray, dt: float, order: int) -> Any:
    """State to start a multistep method with: its past comes from a fine run of the first steps."""
    fine = propagator(flow, dt=FINE, seed=1, x0=x)
    past: list[np.ndarray] = []
    for _ in range(order - 1):
        at = np.array(fine.state()["x"])
        slope = flow.phi.slope(at)[:, None]
        past.insert(0, flow.J @ np.column_stack([flow.phi.value(at), slope * frame]))
        frame = fine.carry(frame, round(dt / FINE)).copy(order="F")
    start = fine.state()
    start.update({f"past_{j}": p for j, p in enumerate([*past, past[-1]])})
    return start, frame


def bias(flow: Flow, k: int, stretches: list, method: str, dt: float, dtype: str) -> np.ndarray:
    """Difference of the growth to the fine run's: [stretches, k]."""
    found = []
    carrier = propagator(flow, method=method, dt=dt, dtype=dtype, seed=1)
    for x, frame, exact in stretches:
        order = int(method[-1]) if method.startswith("exponential") else 1
        if order > 1:
            start, moved = history(flow, x, frame.copy(order="F"), dt, order)
            carrier.restore(start)
        else:
            carrier.restore({**carrier.state(), "x": x, "time": 0.0})
            moved = frame.copy(order="F")
        found.append(growth(carrier, moved, round(INTERVAL / dt), order - 1) - exact)
    return np.array(found)


def timed(flow: Flow, k: int, folder: Path | None, rounds: int) -> dict[str, float]:
    """Seconds a unit of time of every contestant, QR every INTERVAL."""
    runs: dict[str, Any] = {}
    for method, dt, dtype in OURS:
        runs[f"ours {method} {dt:g} {dtype}"] = _ours(flow, k, method, dt, dtype)
    if folder:
        for dt in PEER_STEPS:
            runs[f"peer rk4 {dt:g} float64"] = _peer(folder, flow, k, dt)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if round_:
                times[name].append((time.perf_counter() - start) / INTERVAL)
    return {name: median(found) for name, found in times.items()}


def _ours(flow: Flow, k: int, method: str, dt: float, dtype: str) -> Any:
    carrier = propagator(flow, method=method, dt=dt, dtype=dtype, seed=1)
    held = [random_frame(flow.size, k, 0)]

    def run() -> None:
        frame, upper = orthonormalise(carrier.carry(held[0], round(INTERVAL / dt)), "cholesky")
        carrier.rescale(upper)
        held[0] = frame

    return run


def _peer(folder: Path, flow: Flow, k: int, dt: float) -> Any:
    import torch

    sys.path.insert(0, str(folder))
    from rnn_lyapunov import network  # type: ignore[import-not-found]

    J = torch.from_numpy(flow.J)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(flow.size))
    held = [x, torch.from_numpy(np.ascontiguousarray(random_frame(flow.size, k, 0)))]

    def run() -> None:
        x, Q = held
        for _ in range(round(INTERVAL / dt)):
            x, Q = network.rk4_tangent_step(x, Q, J, dt)
        held[:] = [x, torch.linalg.qr(Q)[0]]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--stretches", type=int, default=16)
    parser.add_argument("--sampling", type=float, default=200.0, help="time of the long run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", StabilityWarning)
    flow = Flow(gaussian_couplings(asked.n, GAIN, seed=0))
    seconds = timed(flow, asked.k, asked.peer, asked.rounds)
    stretches = fine_run(flow, asked.k, asked.stretches)
    found = {}
    for method, dt, dtype in {*OURS, *(("rk4", dt, "float64") for dt in PEER_STEPS)}:
        off = bias(flow, asked.k, stretches, method, dt, dtype)
        each = off.mean(axis=0)
        spread = off.std(axis=0, ddof=1) / np.sqrt(len(off))
        # root mean square over the exponents, without what the few stretches scatter
        found[f"{method} {dt:g} {dtype}"] = float(
            np.sqrt(max(0.0, np.mean(each**2 - spread**2)))), float(np.sqrt(np.mean(spread**2)))
    long = lyapunov.spectrum(flow, k=asked.k, duration=asked.sampling, transient=100, dt=0.2,
                             method="exponential-ab3", dtype="float32", seed=1)
    sample = float(np.sqrt(np.mean(long.stderr**2) * long.duration))
    print(f"N={asked.n} k={asked.k}: sampling error {sample:.4f} / sqrt(T)")
    rows = []
    for name, cost in seconds.items():
        rms, error = found[name.split(" ", 1)[1]]
        row: dict[str, Any] = {"name": name, "seconds": cost, "bias": rms, "bias_error": error}
        for target in TARGETS:
            limit = max(rms, error)
            row[f"time_{target:g}"] = (cost * sample**2 / (target**2 - limit**2)
                                       if limit < target else float("inf"))
        rows.append(row)
        print(f"{name:38s} {cost:7.4f} s/τ  bias {rms:.1e} ± {error:.0e}  "
              + "  ".join(f"{t:g}: {row[f'time_{t:g}']:8.1f} s" for t in TARGETS))
    for target in TARGETS:
        best = {who: min((r[f"time_{target:g}"], r["name"]) for r in rows
                         if r["name"].startswith(who)) for who in ("ours", "peer")
                if any(r["name"].startswith(who) for r in rows)}
        if "peer" in best:
            print(f"target {target:g}: ours {best['ours']}, peer {best['peer']}, ratio "
                  f"{best['peer'][0] / best['ours'][0]:.2f}")
    if asked.out:
        asked.out.write_text(json.dumps({"sampling": sample, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
