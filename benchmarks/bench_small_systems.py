"""How fast is the full spectrum of Lorenz-63 against a plain NumPy loop, and against jitcode?

    python benchmarks/bench_small_systems.py [--quick] [--json FILE]

10^6 steps of RK4 at dt = 0.01 with three tangent vectors, orthonormalised every 10 steps. The NumPy
loop does the same arithmetic with the same steps; since it takes minutes, it is run for fewer steps
and its rate is used. jitcode (if it is installed) integrates the same time with its own adaptive
step (dopri5 at its default tolerance) and orthonormalises at the same times. Compilation is timed
apart and is in none of the rates: ours for the first call in this process (from numba's cache if
there is one), jitcode's for its C compiler. All on one thread; ours and the loop take turns, and
the best of the turns counts. Exponents are printed, so that a fast wrong answer would show.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from neurosparse import lyapunov
from neurosparse.lyapunov import gallery

STEP, EVERY = 0.01, 10
SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3


def ours(steps: int) -> np.ndarray:
    """The compiled loop, through the public call."""
    found = lyapunov.spectrum(
        gallery.lorenz63(), dt=STEP, interval=EVERY * STEP, duration=steps * STEP,
        transient=10.0, warmup=10.0,
    )  # fmt: skip
    return found.exponents


def slope(x: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right-hand side and tangent in NumPy."""
    value = np.array(
        [SIGMA * (x[1] - x[0]), x[0] * (RHO - x[2]) - x[1], x[0] * x[1] - BETA * x[2]]
    )
    jacobian = np.array([[-SIGMA, SIGMA, 0.0], [RHO - x[2], -1.0, -x[0]], [x[1], x[0], -BETA]])
    return value, jacobian @ frame


def plain(steps: int) -> np.ndarray:
    """The loop that one would write first: RK4 in NumPy, np.linalg.qr."""
    x, frame, logs = np.array([10.0, 10.0, 10.0]), np.eye(3), np.zeros(3)
    for step in range(1, steps + 1):
        k1, v1 = slope(x, frame)
        k2, v2 = slope(x + STEP / 2 * k1, frame + STEP / 2 * v1)
        k3, v3 = slope(x + STEP / 2 * k2, frame + STEP / 2 * v2)
        k4, v4 = slope(x + STEP * k3, frame + STEP * v3)
        x = x + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        frame = frame + STEP / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        if step % EVERY == 0:
            frame, upper = np.linalg.qr(frame)
            logs += np.log(np.abs(np.diag(upper)))
    return logs / (steps * STEP)


def peer(steps: int) -> tuple[float, float, np.ndarray] | None:
    """jitcode: seconds to compile, seconds to run, exponents; None where it is not installed."""
    try:
        from jitcode import jitcode_lyap, y
    except ImportError:
        return None
    field = [SIGMA * (y(1) - y(0)), y(0) * (RHO - y(2)) - y(1), y(0) * y(1) - BETA * y(2)]
    start = time.perf_counter()
    system = jitcode_lyap(field, n_lyap=3, verbose=False)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        system.compile_C()  # its setuptools would take the folder it is called in for a project
    compiled = time.perf_counter() - start
    system.set_integrator("dopri5")
    system.set_initial_value(np.array([10.0, 10.0, 10.0]), 0.0)
    times = np.arange(1, steps // EVERY + 1) * (EVERY * STEP)
    start = time.perf_counter()
    local = np.array([system.integrate(moment)[1] for moment in times])
    return compiled, time.perf_counter() - start, local.mean(axis=0)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of one call."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def main() -> None:
    """Run, print the table, write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, one turn")
    parser.add_argument("--json", help="write the numbers here")
    options = parser.parse_args()
    steps = 100_000 if options.quick else 1_000_000
    few = steps // 50
    first, _ = timed(lambda: ours(2000))
    our_times, loop_times = [], []
    for _ in range(1 if options.quick else 5):
        seconds, our_exponents = timed(lambda: ours(steps))
        our_times.append(seconds)
        seconds, loop_exponents = timed(lambda: plain(few))
        loop_times.append(seconds * steps / few)
    rows = [
        ("neurosparse", first, min(our_times), our_exponents),
        (f"NumPy loop (from {few} steps)", 0.0, min(loop_times), loop_exponents),
    ]
    other = peer(steps)
    if other is not None:
        rows.append(("jitcode", *other))
    print(f"Lorenz-63, full spectrum, {steps} steps of {STEP}, one thread")
    print(f"{'':32}{'first call s':>14}{'run s':>10}{'ratio':>9}  exponents")
    for name, compiled, seconds, exponents in rows:
        print(
            f"{name:32}{compiled:14.2f}{seconds:10.3f}{seconds / rows[0][2]:9.1f}  "
            + " ".join(f"{value:9.4f}" for value in exponents)
        )
    if other is None:
        print("jitcode is not installed: pip install jitcode")
    if options.json:
        table = [
            {"name": n, "first_call": c, "seconds": s, "exponents": list(map(float, e))}
            for n, c, s, e in rows
        ]
        with open(options.json, "w") as file:
            json.dump({"steps": steps, "dt": STEP, "rows": table}, file, indent=2)


if __name__ == "__main__":
    main()
