"""The network in discrete time: the Euler map of the vanilla flow at any step δ."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import Couplings, check_couplings, check_number, dense
from neurosparse.dynamics.drive import StepDrive, check_drive, drive_at
from neurosparse.dynamics.gains import Gain, gain
from neurosparse.dynamics.linearisation import MapLinearisation
from neurosparse.errors import InputError

Array = NDArray[np.float64]

# above this a determinant of J is not computed unasked
_DETERMINANT_LIMIT = 8192


class Map:
    """x(n+1) = (1 - δ) x(n) + δ [J φ(x(n)) + I(n)].

    Parameters
    ----------
    J
        Couplings [N, N].
    delta
        Step δ in (0, 1]; 1 is the network of Molgedey, Schuchhardt and Schuster (1992), and small
        δ the Euler scheme of the flow.
    phi
        Gain, see :func:`neurosparse.dynamics.gain`.
    drive
        None, numbers [N], or a function of the step n = 0, 1, ..., an ``int``; energies are
        recorded up to n = duration, one more than the run itself asks for.

    Raises
    ------
    InputError
        δ out of its range, or couplings or drive that do not fit.
    """

    def __init__(self, J: Couplings, delta: float = 1.0, phi: str | Gain | tuple[Any, ...] = "tanh",
                 *, drive: Any = None) -> None:
        self.J = check_couplings(J, "Map")
        self.delta = check_number("Map", "delta", delta, 0.0, 1.0)
        if self.delta == 0.0:
            raise InputError("Map", found="delta 0", expected="a step in (0, 1]")
        self.phi = gain(phi)
        self.drive = check_drive(StepDrive(drive) if callable(drive) else drive, self.size, "Map")

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(self.J.shape[0])

    def step(self, x: Array, n: int = 0) -> Array:
        """The state after x, for x [N] or columns [N, S]."""
        out: Array = self.J @ self.phi.value(x)
        entering = drive_at(self.drive, n, x)
        if entering is not None:
            out = out + entering
        return out if self.delta == 1.0 else (1.0 - self.delta) * x + self.delta * out

    def speed(self, x: Array, n: float = 0) -> Array:
        """-x + J φ(x) + I(n), zero at a fixed point of the map for any δ."""
        out: Array = self.J @ self.phi.value(x) - x
        entering = drive_at(self.drive, n, x)
        return out if entering is None else out + entering

    def energy(self, x: Array, n: float = 0) -> Any:
        """Half the squared speed; float for [N], [S] for [N, S]."""
        f = self.speed(x, n)
        total = 0.5 * np.einsum("i...,i...->...", f, f)
        return float(total) if x.ndim == 1 else total

    def linearise(self, x: Array, n: int = 0) -> MapLinearisation:
        """Jacobian at x as an operator with ``matmat`` and ``log_abs_determinant``."""
        known = self._log_det if self.delta == 1.0 else None
        return MapLinearisation(self.J, self.delta, self.phi.slope(x), known)

    @cached_property
    def _log_det(self) -> float | None:
        if self.size > _DETERMINANT_LIMIT:
            return None
        return float(np.linalg.slogdet(dense(self.J))[1])

    def __repr__(self) -> str:
        return f"Map(N={self.size}, delta={self.delta:g}, phi={self.phi.name!r})"
