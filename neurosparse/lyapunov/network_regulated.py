"""Runge-Kutta steps of the regulated flow: a product with J and one with Jᵀ a stage.

With S the state of a stage,

    F = J B - S,   K = F - γ D ∘ (Jᵀ F) - c ∘ S      (frame: B = D ∘ S; c = γ φ'' ∘ Jᵀ f)
    f = J φ(x) - x,   k = f - γ D ∘ (Jᵀ f)           (state: the same products, no c)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.flow import Flow
from neurosparse.errors import InputError
from neurosparse.frames import combine
from neurosparse.lyapunov.network_block import NetworkPropagator

Array = NDArray[np.float64]
Frame = NDArray[Any]

# (weight in the next stage's state, weight in the step, time of the stage), in steps
TABLEAUS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "euler": ((0.0, 1.0, 0.0),),
    "rk4": ((0.5, 1 / 6, 0.0), (0.5, 1 / 3, 0.5), (1.0, 1 / 3, 0.5), (0.0, 1 / 6, 1.0)),
}


class RegulatedPropagator(NetworkPropagator):
    """Flow at any γ by a fixed-step method of :data:`TABLEAUS`."""

    system: Flow

    def __init__(self, system: Flow, method: str, dt: float, seed: int, x0: Array | None,
                 dtype: str) -> None:
        if system.phi.curvature is None:
            raise InputError(
                "spectrum", found=f"gain {system.phi.name!r} without second derivative",
                expected="(φ, φ', φ'') where gamma is not zero",
            )  # fmt: skip
        super().__init__(system, dt, seed, x0, dtype)
        self.method = method

    def _step(self, block: Frame, full: bool) -> None:
        chunks = self._chunks(block.shape[1])
        room = np.empty((4, self.size * chunks[0].stop), self.kind)
        known: list[tuple[Array, Array]] = []  # slope and shift of each stage
        for chunk in chunks:
            V = block[:, chunk]
            S, A, B, F = (part[: V.size].reshape(V.shape, order="F") for part in room)
            S[...] = V
            A[...] = V
            for number, (ahead, share, at) in enumerate(TABLEAUS[self.method]):
                self._slope(S, B, F, known, number, chunk.start == 0, self.time + at * self.unit)
                k = [1.0, -1.0, -1.0]  # K = F - γ D G - c S
                combine(
                    [A, F, B, S, V],
                    [(A, [1.0, *(share * self.unit * w for w in k), 0.0]),
                     (S, [0.0, *(ahead * self.unit * w for w in k), 1.0])],
                )  # fmt: skip
            V[...] = A
        if full:
            weights = [share for _, share, _ in TABLEAUS[self.method]]
            self._volume += self.unit * sum(
                w * self._trace(slope, shift)
                for w, (slope, shift) in zip(weights, known, strict=True)
            )

    def _slope(self, S: Frame, B: Frame, F: Frame, known: list[tuple[Array, Array]], number: int,
               first: bool, t: float) -> None:
        """Leave F, γ D ∘ Jᵀ F in B, and c ∘ S in S; column 0 of the first chunk is the state."""
        phi, gamma = self.system.phi, self.system.gamma
        if first:
            x = S[:, 0].astype(np.float64)
            slope, bend = phi.slope(x), phi.curvature(x)  # type: ignore[misc]
            known.append((slope, bend))
        slope, shift = known[number]
        combine([S], [(F, [-1.0])], scale=slope.astype(self.kind), scaled=B, scaled_from=0)
        if first:
            B[:, 0] = phi.value(x)
        self.product.add(F, B, 1.0)
        entering = self._drive(t) if first else None
        if entering is not None and self.system.drive_inside:
            F[:, 0] += entering
        B[...] = 0.0
        self.product.add(B, F, 1.0, transposed=True)
        if first:
            shift = gamma * shift * B[:, 0]
            known[number] = (slope, shift)
        combine([B], [], scale=(gamma * slope).astype(self.kind), scaled=B, scaled_from=0)
        combine([S], [], scale=shift.astype(self.kind), scaled=S, scaled_from=0)
        if first:
            S[:, 0] = 0.0
            if entering is not None and not self.system.drive_inside:
                F[:, 0] += entering
