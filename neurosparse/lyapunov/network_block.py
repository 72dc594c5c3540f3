"""What the propagators of networks share: state and frame side by side, drive, noise, trace.

The state is column 0 of a block and the frame the others. So one product of J with the block serves
both: the state costs one column more, not a second reading of J.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import column_squares, diagonal
from neurosparse.dynamics.drive import drive_at
from neurosparse.dynamics.flow import Flow
from neurosparse.dynamics.map import Map
from neurosparse.lyapunov.propagator import Propagator, State
from neurosparse.lyapunov.tangent_product import Product

Array = NDArray[np.float64]
Frame = NDArray[Any]

#: Tag of the stream that the initial state is drawn from. Not zero: entropy is padded with zeros,
#: and couplings are drawn from ``seed`` alone.
START = 0x57A
#: Up to this many columns go together: BLAS would pack J again for every few.
UNDIVIDED = 96


class NetworkPropagator(Propagator):
    """State and frame of a Flow or Map in one block; subclasses carry it one step.

    Parameters
    ----------
    system
        Flow or Map.
    dt
        Step (time); a map's is 1.
    seed
        Of the initial state, N(0, 1), and of the noise.
    x0
        Initial state [N].
    dtype
        "float64" or "float32": of the block and its products. Frames come and go as float64.
    """

    method = ""
    width: int | None = None
    """Columns of a chunk; None: half of the frame in float64, all of it where it is narrow."""

    def __init__(self, system: Flow | Map, dt: float, seed: int, x0: Array | None,
                 dtype: str) -> None:
        self.system = system
        self.size = system.size
        self.unit = dt
        self.kind = np.dtype(dtype)
        self.product = Product(system.J, self.kind)
        self.temperature = float(getattr(system, "temperature", 0.0))
        self._noise = np.random.default_rng([seed, 0x7E])
        self.x = (np.random.default_rng([seed, START]).standard_normal(self.size) if x0 is None
                  else np.array(x0, dtype=np.float64))
        self._block: Frame = np.empty((self.size, 1), self.kind, order="F")
        self._block[:, 0] = self.x
        self._fresh = True
        self._volume = 0.0
        self._diagonal = diagonal(system.J)
        gamma = getattr(system, "gamma", 0.0)
        self._squares = column_squares(system.J) if gamma else None

    # --- the form --------------------------------------------------------------------------

    @abstractmethod
    def _step(self, block: Frame, full: bool) -> None:
        """Carry the block one step from ``self.time``; add to ``self._volume`` where ``full``."""

    def _restart(self) -> None:
        """The frame is another one than the last carry gave back."""

    # --- Propagator ------------------------------------------------------------------------

    def advance(self, steps: int) -> None:
        """Carry the state alone."""
        block = self._resize(0)
        for _ in range(steps):
            self._one(block, False)

    def place(self, frame: Array) -> Array:
        """A float64 frame in the block, beside the state."""
        if self.kind != np.float64:
            return frame
        inside = self._resize(frame.shape[1])[:, 1:]
        if not np.shares_memory(inside, frame):
            inside[...] = frame
        return inside

    def carry(self, frame: Array, steps: int) -> Array:
        """Carry state and frame together; the answer may be a view that the next call reuses."""
        k = frame.shape[1]
        block = self._resize(k)
        inside, full = block[:, 1:], k == self.size
        if not np.shares_memory(inside, frame):
            inside[...] = frame
        for _ in range(steps):
            self._one(block, full)
        return inside if self.kind == np.float64 else inside.astype(np.float64, order="F")

    def _resize(self, k: int) -> Frame:
        if self._block.shape[1] != k + 1:
            grown = np.empty((self.size, k + 1), self.kind, order="F")
            grown[:, 0] = self._block[:, 0]
            self._block = grown
            self._fresh = True
            self._restart()
        return self._block

    def _one(self, block: Frame, full: bool) -> None:
        # Half of the noise before and half after: the state's law is then off by the step squared.
        self._kick(block)
        self._step(block, full)
        self._fresh = False
        self._kick(block)
        self.time += self.unit

    def _kick(self, block: Frame) -> None:
        if self.temperature:
            share = np.sqrt(self.temperature * self.unit)
            block[:, 0] += share * self._noise.standard_normal(self.size)

    def volume(self) -> float | None:
        """Integral of the trace while the frame was full; the map's own file gives log |det|."""
        total, self._volume = self._volume, 0.0
        return total

    def finite(self) -> bool:
        """Whether the state is finite."""
        return bool(np.isfinite(self._block[:, 0]).all())

    def state(self) -> State:
        """State, time and the noise generator's place."""
        at = self._noise.bit_generator.state["state"]
        return {"x": self._block[:, 0].astype(np.float64), "time": self.time,
                "noise_state": str(at["state"]), "noise_increment": str(at["inc"])}

    def restore(self, state: State) -> None:
        """Go back; a multistep method begins its history anew where the frame's is not given."""
        self._block[:, 0] = state["x"]
        self.time = float(state["time"])
        generator: Any = self._noise.bit_generator.state
        generator["state"] = {"state": int(str(state["noise_state"])),
                              "inc": int(str(state["noise_increment"]))}
        self._noise.bit_generator.state = generator
        self._fresh = True
        self._restart()

    def settings(self) -> dict[str, Any]:
        """Method, step, precision, system."""
        return {"method": self.method, "dt": self.unit, "dtype": self.kind.name,
                "system": repr(self.system)}

    # --- for the methods -------------------------------------------------------------------

    def _chunks(self, columns: int) -> list[slice]:
        """Columns that go through a whole step before the next ones do.

        Workspaces are as wide as the first of them: halves keep the memory of a step, the frame
        included, within 3 N k doubles while BLAS still gets wide products.
        """
        whole = columns <= UNDIVIDED or self.kind == np.float32
        width = self.width or (columns if whole else -(-columns // 2))
        return [slice(at, min(at + width, columns)) for at in range(0, columns, width)]

    def _drive(self, t: float) -> Any:
        return drive_at(self.system.drive, t, self.x)

    def _trace(self, slope: Array, shift: Array | None) -> float:
        """Trace of the flow's Jacobian: -N + Σ J_ii d_i - γ (Σ_i |J_.i|² d_i² - J_ii d_i) - Σ c."""
        own = float(self._diagonal @ slope)
        total = own - self.size
        if self._squares is not None and shift is not None:
            gamma = self.system.gamma  # type: ignore[union-attr]
            total -= gamma * (float(self._squares @ slope**2) - own) + float(shift.sum())
        return total
