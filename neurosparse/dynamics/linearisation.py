"""The tangent action of the flow and of the map at one state. The Jacobian is never formed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import Couplings, column_squares, diagonal

Array = NDArray[np.float64]


def _rows(scale: Array, V: Array) -> Array:
    return scale[:, None] * V if V.ndim == 2 else scale * V


@dataclass(frozen=True)
class Linearisation:
    """Jacobian M of the flow at a state x, as an operator.

    M V = -V + J(DV) - γ D Jᵀ(J(DV) - V) - c V (papers.md 1(b)), symmetric at γ = 1.

    Attributes
    ----------
    J
        Couplings.
    gamma
        Onsager switch γ.
    slope
        D = φ'(x) [N].
    shift
        c = γ φ''(x) (Jᵀ f) [N]; zeros at γ = 0.
    """

    J: Couplings
    gamma: float
    slope: Array
    shift: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        return self.slope.size, self.slope.size

    def matmat(self, V: Array) -> Array:
        """M V for V [N, k] or [N]: one product with J, and one with Jᵀ where γ is not zero."""
        out: Array = self.J @ _rows(self.slope, V)
        out -= V
        if self.gamma != 0.0:
            back: Array = self.J.T @ out
            out -= _rows(self.gamma * self.slope, back)
            out -= _rows(self.shift, V)
        return out

    def rmatmat(self, V: Array) -> Array:
        """Mᵀ V for V [N, k] or [N]."""
        out: Array = _rows(self.slope, self.J.T @ V) - V
        if self.gamma != 0.0:
            scaled = self.J @ _rows(self.slope, V)
            out -= self.gamma * (_rows(self.slope, self.J.T @ scaled) - scaled)
            out -= _rows(self.shift, V)
        return out

    def trace(self) -> float:
        """Trace of M; O(N²) for dense J, O(N) at γ = 0."""
        own = diagonal(self.J)
        total = float(own @ self.slope) - self.slope.size
        if self.gamma != 0.0:
            squares = float(column_squares(self.J) @ self.slope**2)
            total -= self.gamma * (squares - float(own @ self.slope)) + float(self.shift.sum())
        return total


@dataclass(frozen=True)
class MapLinearisation:
    """Jacobian (1 - δ) + δ J D of the map at a state, as an operator.

    Attributes
    ----------
    J
        Couplings.
    delta
        Step δ.
    slope
        D = φ'(x) [N].
    log_det_couplings
        ln |det J| where the map knows it (δ = 1), else None.
    """

    J: Couplings
    delta: float
    slope: Array
    log_det_couplings: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        return self.slope.size, self.slope.size

    def matmat(self, V: Array) -> Array:
        """[(1 - δ) + δ J D] V for V [N, k] or [N]."""
        out: Array = self.J @ _rows(self.slope, V)
        if self.delta != 1.0:
            out *= self.delta
            out += (1.0 - self.delta) * V
        return out

    def log_abs_determinant(self) -> float | None:
        """ln |det| of the Jacobian; None where it would cost too much.

        At δ = 1 it is ln |det J| + Σ ln φ'(x_i), and the first term is computed once a map; at
        other δ a dense factorisation a call, made up to N = 1024.
        """
        if self.delta == 1.0:
            if self.log_det_couplings is None:
                return None
            with np.errstate(divide="ignore"):
                return self.log_det_couplings + float(np.log(np.abs(self.slope)).sum())
        if self.slope.size > 1024:
            return None
        return float(np.linalg.slogdet(self.matmat(np.eye(self.slope.size)))[1])
