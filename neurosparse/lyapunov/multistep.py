"""Exponential Adams-Bashforth: one product with J a step, where Runge-Kutta 4 takes four.

With N = J φ(x) for the state and J (φ'(x) ∘ V) for the frame, x' = -x + N. The decay is integrated
exactly and N as the polynomial through its last p values (Nørsett 1969; Cox & Matthews 2002,
equation 16):

    y(n+1) = e^(-h) y(n) + h Σ_j b_j N(n - j),   b_j = ∫₀¹ e^(-h (1 - θ)) L_j(θ) dθ,

with L_j the Lagrange polynomials of the nodes θ = 0, -1, ..., 1 - p. After a QR the frame's past N
are multiplied by R⁻¹ too: they belong to the same vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from neurosparse.dynamics.flow import Flow
from neurosparse.frames import combine
from neurosparse.lyapunov.network_block import NetworkPropagator
from neurosparse.lyapunov.propagator import State

Array = NDArray[np.float64]
Frame = NDArray[Any]

ORDERS = {"exponential-ab2": 2, "exponential-ab3": 3, "exponential-ab4": 4}


def exponential_weights(order: int, h: float, *, newest: int = 0) -> Array:
    """b_j for the nodes θ = newest - j, j = 0 .. order - 1; at h = 0 the Adams weights.

    ``newest`` 0 extrapolates (Adams-Bashforth), 1 interpolates (Adams-Moulton).
    """
    nodes, weights = np.polynomial.legendre.leggauss(24)
    theta = 0.5 * (nodes + 1.0)
    decay = 0.5 * weights * np.exp(-h * (1.0 - theta))
    at = newest - np.arange(order, dtype=np.float64)
    found = np.empty(order)
    for j in range(order):
        others = np.delete(at, j)
        lagrange = np.prod((theta[:, None] - others) / (at[j] - others), axis=1)
        found[j] = decay @ lagrange
    return found


def longest_step(order: int, decay: float, turn: float) -> float:
    """Longest h up to which a method of this order damps what decays.

    Two modes of x' = -x + μ x bound it: μ = 1 - decay, the fastest, and μ = i turn.

    Parameters
    ----------
    decay, turn
        ``Flow.extent`` (1/time).
    """
    return min(_longest(order, mu) for mu in (1.0 - decay, 1j * turn))


def _longest(order: int, mu: complex) -> float:
    """The first h at which some power of the step grows, by bisection after a coarse look."""
    def grows(h: float) -> bool:
        weights = exponential_weights(order, h)
        powers = [1.0, -np.exp(-h) - h * mu * weights[0], *(-h * mu * weights[1:])]
        return bool(abs(np.roots(powers)).max() > 1.0)

    tried = np.geomspace(1e-3, 1e3, 121) / (1.0 + abs(mu))
    after = next((at for at, h in enumerate(tried) if grows(h)), None)
    if after is None:
        return math.inf
    low, high = (0.0, tried[0]) if after == 0 else (tried[after - 1], tried[after])
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if grows(middle) else (middle, high)
    return float(low)


class MultistepPropagator(NetworkPropagator):
    """Flow at γ = 0 by exponential Adams-Bashforth of order 2, 3 or 4."""

    system: Flow

    def __init__(self, system: Flow, method: str, dt: float, seed: int, x0: Array | None,
                 dtype: str) -> None:
        super().__init__(system, dt, seed, x0, dtype)
        self.method = method
        self.order = ORDERS[method]
        self._weights = [float(np.exp(-dt)), *(dt * exponential_weights(self.order, dt))]
        self._history: list[Frame] = []

    def _step(self, block: Frame, full: bool) -> None:
        x = block[:, 0].astype(np.float64)
        slope = self.system.phi.slope(x)
        scale = slope.astype(self.kind)
        rate = self.system.phi.value(x)
        entering = self._drive(self.time)
        if full:
            self._volume += self.unit * self._trace(slope, None)
        started = len(self._history) == self.order
        if not started:
            self._history = [np.empty_like(block) for _ in range(self.order)]
        # the oldest gives its room to the newest
        newest = self._history[-1] if started else self._history[0]
        chunks = self._chunks(block.shape[1])
        room = np.empty(self.size * chunks[0].stop, self.kind)
        for chunk in chunks:
            V, N = block[:, chunk], newest[:, chunk]
            B = room[: V.size].reshape(V.shape, order="F")
            combine([V], [(N, [0.0])], scale=scale, scaled=B, scaled_from=0)
            if chunk.start == 0:
                B[:, 0] = rate
            self.product.add(N, B, 1.0)
            if chunk.start == 0 and entering is not None:
                N[:, 0] += entering
            if not started:  # the first step takes N for constant: it belongs to the warm-up
                for older in self._history[1:]:
                    older[:, chunk] = N
            past = [newest, *(self._history[:-1] if started else self._history[1:])]
            combine([V, *(part[:, chunk] for part in past)], [(V, self._weights)])
        if started:
            self._history.insert(0, self._history.pop())

    def _restart(self) -> None:
        self._history = []

    def rescale(self, factor: Array) -> None:
        """Multiply the frame's past by R⁻¹; the oldest is overwritten next and is left."""
        trsm = blas.dtrsm if self.kind == np.float64 else blas.strsm
        upper = np.asfortranarray(factor, self.kind)
        for past in self._history[:-1]:
            if past.shape[1] == factor.shape[0] + 1:
                trsm(1.0, upper, past[:, 1:], side=1, overwrite_b=1)

    def state(self) -> State:
        """The state, and the past of state and frame."""
        found = super().state()
        for number, past in enumerate(self._history):
            found[f"past_{number}"] = past.astype(np.float64)
        return found

    def restore(self, state: State) -> None:
        """Go back, past included."""
        super().restore(state)
        pasts = [state[f"past_{j}"] for j in range(self.order) if f"past_{j}" in state]
        self._history = [np.asfortranarray(past, self.kind) for past in pasts]
        if self._history and self._history[0].shape != self._block.shape:
            columns = self._history[0].shape[1]
            grown = np.empty((self.size, columns), self.kind, order="F")
            grown[:, 0] = self._block[:, 0]
            self._block = grown
