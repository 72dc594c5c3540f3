"""The other known way to freeze chaos: Hebbian plasticity.

Clark and Abbott, "Theory of coupled neuronal-synaptic dynamics", Physical Review X 14, 021001
(2024): W = J + A(t) and p A' = -A + (k/N) φ(x) φ(x)ᵀ. Strong plasticity that is halted in time
leaves a fixed point behind ("freezable chaos").
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import Couplings, check_couplings, check_number, dense
from neurosparse.dynamics.euler import euler
from neurosparse.dynamics.fixed_step import Step
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.gains import Gain
from neurosparse.dynamics.rk4 import rk4
from neurosparse.errors import InputError

Array = NDArray[np.float64]


class HebbianFlow:
    """x' = -x + (J + A) φ(x), timescale A' = -A + (strength/N) φ(x) φ(x)ᵀ.

    Parameters
    ----------
    J
        Fixed couplings [N, N].
    strength
        k; negative is anti-Hebbian.
    timescale
        p > 0 in units of the neurons' own time.
    phi
        Gain.
    plastic
        A at the start [N, N]; zeros if None.

    Raises
    ------
    InputError
        A value out of its range or of another shape.
    """

    temperature = 0.0

    def __init__(self, J: Couplings, strength: float, timescale: float = 2.5,
                 phi: str | Gain | tuple[Any, ...] = "tanh", *, plastic: Any = None) -> None:
        self.J = check_couplings(J, "HebbianFlow")
        self.strength = check_number("HebbianFlow", "strength", strength, -math.inf, math.inf)
        self.timescale = check_number("HebbianFlow", "timescale", timescale, 0.0, math.inf)
        if self.timescale == 0.0:
            raise InputError("HebbianFlow", found="timescale 0", expected="a time > 0")
        start = np.zeros(self.J.shape) if plastic is None else dense(
            check_couplings(plastic, "HebbianFlow"))
        if start.shape != self.J.shape:
            raise InputError("HebbianFlow", found=f"plastic of shape {start.shape}",
                             expected=f"{self.J.shape}")
        self.plastic = start
        self._base = Flow(self.J, 0.0, phi)

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(self.J.shape[0])

    @property
    def phi(self) -> Gain:
        """The gain."""
        return self._base.phi

    def frozen(self, plastic: Array | None = None) -> Flow:
        """The vanilla flow with the plastic part held at ``plastic`` (the start's if None)."""
        held = self.plastic if plastic is None else plastic
        return Flow(dense(self.J) + held, 0.0, self.phi)

    def stable_step(self, method: str = "rk4") -> float:
        """That of the fixed couplings; the plastic part is added exactly whatever the step."""
        return self._base.stable_step(method)

    def __repr__(self) -> str:
        return (f"HebbianFlow(N={self.size}, strength={self.strength:g}, "
                f"timescale={self.timescale:g}, phi={self.phi.name!r})")


class PlasticRun:
    """The couplings of one run while it goes on: the flow stays as it is, this moves.

    Strang splitting: half a step of A with φ held (exact, exponential), a step of x with A held,
    half a step of A. Order 2 with RK4, 1 with Euler.
    """

    def __init__(self, flow: HebbianFlow, method: str, dt: float) -> None:
        self.flow = flow
        self._matrix = dense(flow.J) + flow.plastic
        self._moving = Flow(self._matrix, 0.0, flow.phi)
        # Flow keeps the array itself, so that what is written into it is what runs
        self._matrix = self._moving.J
        self._inner = (rk4 if method == "rk4" else euler)(self._moving, dt)
        self._keep = math.exp(-0.5 * dt / flow.timescale)
        self._base = dense(flow.J)

    def _learn(self, x: Array) -> None:
        rate = self.flow.phi.value(x)
        factor = (1.0 - self._keep) * self.flow.strength / x.size
        # A -> keep A + factor φφᵀ, written for W = J + A
        self._matrix *= self._keep
        self._matrix += (1.0 - self._keep) * self._base
        self._matrix += np.multiply.outer(factor * rate, rate)

    def step(self) -> Step:
        """The step of the whole, for the shared loop."""

        def advance(x: Array, t: float) -> Array:
            self._learn(x)
            moved = self._inner(x, t)
            self._learn(moved)
            return moved

        return advance

    def energy(self, x: Array, t: float = 0.0) -> Any:
        """|f|²/2 under the couplings of now."""
        return self._moving.energy(x, t)

    @property
    def couplings(self) -> Array:
        """J + A of now [N, N]."""
        return np.array(self._matrix)
