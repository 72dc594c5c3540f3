"""Runge-Kutta steps of state and frame without regulation: one product with J a stage.

A stage slope K = J B - S (B = φ'(x_S) ∘ S for the frame, φ(x_S) for the state) only enters sums, so
the product is added straight to what the stage makes, and no K is ever stored:

    RK4   S2 = (1 - h/2) V + h/2 J B1          A = S2 - V
          S3 = V - h/2 S2  + h/2 J B2          A = A + 2 S3
          S4 = V - h S3    + h   J B3          V = (A + S4)/3 - h/6 S4 + h/6 J B4

It is the exact derivative of the RK4 step of the state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.map import Map
from neurosparse.frames import combine
from neurosparse.lyapunov.network_block import NetworkPropagator

Array = NDArray[np.float64]
Frame = NDArray[Any]

# A stage: weights of (V, S, A) in the new A or None, in what the stage makes, the factor of J B,
# and the time of the stage in steps. All weights depend on the step h.
Stage = tuple[tuple[float, float, float] | None, tuple[float, float, float], float, float]


def euler_stages(h: float) -> list[Stage]:
    """Explicit Euler; with h = δ the map."""
    return [(None, (1.0 - h, 0.0, 0.0), h, 0.0)]


def rk4_stages(h: float) -> list[Stage]:
    """Classical Runge-Kutta of order 4."""
    return [
        (None, (1.0 - h / 2, 0.0, 0.0), h / 2, 0.0),
        ((-1.0, 1.0, 0.0), (1.0, -h / 2, 0.0), h / 2, 0.5),
        ((0.0, 2.0, 1.0), (1.0, -h, 0.0), h, 0.5),
        (None, (0.0, 1.0 / 3.0 - h / 6, 1.0 / 3.0), h / 6, 1.0),
    ]


STAGES = {"euler": euler_stages, "rk4": rk4_stages}
# weights of the stages in the integral of the trace
VOLUME = {"euler": (1.0,), "rk4": (1 / 6, 1 / 3, 1 / 3, 1 / 6)}


class VanillaPropagator(NetworkPropagator):
    """Flow at γ = 0, or Map, by a fixed-step method of :data:`STAGES`."""

    def __init__(self, system: Flow | Map, method: str, dt: float, seed: int, x0: Array | None,
                 dtype: str) -> None:
        self._is_map = isinstance(system, Map)
        super().__init__(system, 1.0 if self._is_map else dt, seed, x0, dtype)
        self.method = "map" if self._is_map else method
        h = system.delta if isinstance(system, Map) else dt
        self._stages = STAGES[method](h)
        self._volume_weights = VOLUME[method]
        self._known = True

    def _step(self, block: Frame, full: bool) -> None:
        chunks = self._chunks(block.shape[1])
        room = np.empty((3, self.size * chunks[0].stop), self.kind)
        slopes: list[Frame] = []
        if full and self._is_map:
            self._add_log_det(block[:, 0])
        for chunk in chunks:
            V = block[:, chunk]
            A, B, C = (part[: V.size].reshape(V.shape, order="F") for part in room)
            S = V
            for number, (keep, make, factor, at) in enumerate(self._stages):
                first = chunk.start == 0
                if first:
                    x = S[:, 0].astype(np.float64)
                    rate = self.system.phi.value(x)
                    slopes.append(self.system.phi.slope(x).astype(self.kind))
                out = V if number == len(self._stages) - 1 else C
                written = [(out, make)] if keep is None else [(out, make), (A, keep)]
                combine([V, S, A], written, scale=slopes[number], scaled=B, scaled_from=1)
                if first:
                    B[:, 0] = rate
                self.product.add(out, B, factor)
                if first:
                    entering = self._drive(self.time + at * self.unit)
                    if entering is not None:
                        out[:, 0] += factor * entering
                S = out
        if full and not self._is_map:
            self._volume += self.unit * sum(
                weight * self._trace(slope.astype(np.float64), None)
                for weight, slope in zip(self._volume_weights, slopes, strict=True)
            )

    def _add_log_det(self, x: Frame) -> None:
        part = self.system.linearise(x.astype(np.float64)).log_abs_determinant()  # type: ignore[union-attr]
        self._known = self._known and part is not None
        self._volume += part or 0.0

    def volume(self) -> float | None:
        """Integral of the trace, or sum of log |det| of a map where it is affordable."""
        total = super().volume()
        return total if self._known else None
