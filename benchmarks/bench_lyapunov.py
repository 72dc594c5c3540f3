"""Step time of the tangent dynamics of a random network: ours, the floor, and a peer, in one run.

    python benchmarks/bench_lyapunov.py                   # ours against the floor
    python benchmarks/bench_lyapunov.py --peer FOLDER     # and davidclark1/rnn-lyapunov in FOLDER

All at equal numerics: SCS network at g = 3, RK4 at dt = 0.1 in fp64, a QR every 5 steps. The floor
is the time of the same products (4 a step, N x N by N x k) in the fastest BLAS present plus one
LAPACK QR (geqrf and orgqr) an interval. A round times every contestant once, so that all see the
same machine; the median over rounds is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from neurosparse import kernels
from neurosparse.dynamics import Flow, gaussian_couplings
from neurosparse.lyapunov.driver import random_frame
from neurosparse.lyapunov.orthogonalise import orthonormalise
from neurosparse.lyapunov.propagator import propagator

STEPS, DT, GAIN = 5, 0.1, 3.0


def floor_scipy(n: int, k: int) -> Callable[[], None]:
    """Products by SciPy's OpenBLAS, and the QR."""
    rng = np.random.default_rng(1)
    J = rng.standard_normal((n, n)).T
    B = np.asfortranarray(rng.standard_normal((n, k)))
    C = np.zeros_like(B)
    sizes = int(lapack.dgeqrf_lwork(n, k)[0]), 64 * k

    def run() -> None:
        for _ in range(4 * STEPS):
            blas.dgemm(1.0, J, B, 0.0, C, trans_a=1, overwrite_c=1)
        packed, tau, _, _ = lapack.dgeqrf(C, lwork=sizes[0], overwrite_a=1)
        lapack.dorgqr(packed, tau, lwork=sizes[1], overwrite_a=1)

    return run


def floor_torch(n: int, k: int) -> Callable[[], None]:
    """Products by torch's BLAS, with the same LAPACK QR."""
    import torch

    rng = np.random.default_rng(1)
    J = torch.from_numpy(rng.standard_normal((n, n)))
    B = torch.from_numpy(rng.standard_normal((n, k)))
    C = torch.empty_like(B)
    frame = np.asfortranarray(B.numpy())
    sizes = int(lapack.dgeqrf_lwork(n, k)[0]), 64 * k

    def run() -> None:
        for _ in range(4 * STEPS):
            torch.mm(J, B, out=C)
        packed, tau, _, _ = lapack.dgeqrf(frame, lwork=sizes[0], overwrite_a=0)
        lapack.dorgqr(packed, tau, lwork=sizes[1], overwrite_a=1)

    return run


def ours(n: int, k: int, orthogonalise: str = "householder", **options: Any) -> Callable[[], None]:
    """The propagator and the QR of the driver."""
    J = gaussian_couplings(n, GAIN, seed=0)
    carrier = propagator(Flow(J), dt=DT, seed=0, **options)
    carrier.advance(50)
    held = [random_frame(n, k, 0)]

    def run() -> None:
        frame = carrier.carry(held[0], STEPS)
        held[0], upper = orthonormalise(frame, orthogonalise)
        carrier.rescale(upper)

    return run


def peer(folder: Path, n: int, k: int) -> Callable[[], None]:
    """One block of the peer's loop."""
    import torch

    sys.path.insert(0, str(folder))
    from rnn_lyapunov import network  # type: ignore[import-not-found]

    J = torch.from_numpy(gaussian_couplings(n, GAIN, seed=0))
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(n))
    Q = torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).standard_normal((n, k))))[0]
    held = [x, Q]

    def run() -> None:
        x, Q = held
        for _ in range(STEPS):
            x, Q = network.rk4_tangent_step(x, Q, J, DT)
        held[:] = [x, torch.linalg.qr(Q)[0]]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="folder that holds the package rnn_lyapunov")
    parser.add_argument("--sizes", default="1000:100,1000:1000", help="N:k pairs")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    for pair in asked.sizes.split(","):
        n, k = map(int, pair.split(":"))
        runs = {"floor": floor_scipy(n, k), "ours": ours(n, k),
                "ours, CholeskyQR2": ours(n, k, "cholesky")}
        if asked.peer:
            runs["floor, torch's BLAS"] = floor_torch(n, k)
            runs["peer"] = peer(asked.peer, n, k)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for round_ in range(asked.rounds + 1):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if round_:
                    times[name].append((time.perf_counter() - start) / STEPS)
        middle = {name: median(found) for name, found in times.items()}
        best = min(seconds for name, seconds in middle.items() if name.startswith("floor"))
        for name, seconds in middle.items():
            print(f"N={n} k={k} {name:22s} {1e3 * seconds:9.2f} ms a step   floor/time "
                  f"{best / seconds:.3f}")
            rows.append({"n": n, "k": k, "name": name, "seconds": seconds, "floor": best / seconds})
    print(f"threads {kernels.threads()}, level {kernels.level()}")
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
