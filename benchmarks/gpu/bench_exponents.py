"""How long do 1024 Lyapunov exponents of a network of 4096 neurons take?

    python benchmarks/gpu/bench_exponents.py [--small] [--out FILE]

g = 3, RK4 at dt = 0.1 in float64, a QR every 5 steps, 2200 tau of state and frame: the peer's
record on one H100 is 133 s (davidclark1/rnn-lyapunov). The torch propagator under the same QR
driver as on the CPU; a short run of both from the same seed says by how much they differ. Floor:
four products N x N by N x k a step, and two Gram matrices and two triangular solves an interval.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from card import Row, Where, script

from neurosparse import dynamics, lyapunov
from neurosparse.models import DeviceFlowPropagator

SIZE, EXPONENTS, GAIN, DT, QR_STEPS, DURATION = 4096, 1024, 3.0, 0.1, 5, 2200.0
RECORD, GOAL = 133.0, 70.0


def agreement(where: Where) -> float:
    """Largest difference of exponents from the CPU's own propagator, a small network."""
    flow = dynamics.Flow(dynamics.gaussian_couplings(64 if where.small else 200, GAIN, seed=1))
    lengths = {"interval": DT * QR_STEPS, "duration": 20.0, "transient": 10.0, "warmup": 5.0}
    ours = lyapunov.spectrum(DeviceFlowPropagator(flow, dt=DT, device=where.device), 20, **lengths)
    theirs = lyapunov.spectrum(flow, 20, dt=DT, **lengths)
    return float(np.abs(ours.exponents - theirs.exponents).max())


def measure(where: Where) -> list[Row]:
    """The whole run through ``lyapunov.spectrum``."""
    n, k, duration = (96, 24, 10.0) if where.small else (SIZE, EXPONENTS, DURATION)
    off = agreement(where)
    flow = dynamics.Flow(dynamics.gaussian_couplings(n, GAIN, seed=0))
    carrier = DeviceFlowPropagator(flow, dt=DT, device=where.device)
    carrier.advance(round(100.0 / DT) if not where.small else 10)
    lyapunov.spectrum(carrier, k, interval=DT * QR_STEPS, duration=5.0, transient=DT, warmup=DT)
    steps = duration / DT
    each = 4 * 2 * n**2 * k
    factor = 2 * (2 * n * k**2 + n * k**2) + 2 * k**3 / 3
    floor = where.floor(operations=steps * (each + factor / QR_STEPS), dtype=torch.float64)
    seconds, peak, found = where.once(lambda: lyapunov.spectrum(
        carrier, k, interval=DT * QR_STEPS, duration=duration, transient=DT, warmup=DT))
    return [Row(f"{k} exponents of {n} neurons, {duration:g} tau", seconds, "s",
                RECORD if not where.small else None, floor,
                goal=f"<= {RECORD:g} s (rnn-lyapunov on an H100), goal {GOAL:g} s",
                met=seconds <= RECORD, error=off,
                notes={"goal_reached": seconds <= GOAL, "peak_gib": peak,
                       "status": found.status.value, "largest": float(found.exponents[0]),
                       "error_is": "largest difference of 20 exponents from the CPU's propagator"})]


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
