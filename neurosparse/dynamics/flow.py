"""The network in continuous time, vanilla to gradient flow by the Onsager switch γ."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.couplings import Couplings, check_couplings, check_number, dense
from neurosparse.dynamics.drive import check_drive, drive_at
from neurosparse.dynamics.gains import Gain, gain
from neurosparse.dynamics.linearisation import Linearisation
from neurosparse.dynamics.map import Map
from neurosparse.dynamics.stability import extent, fastest_rate, longest_step
from neurosparse.errors import InputError

__all__ = ["Flow", "Linearisation", "Map"]

Array = NDArray[np.float64]


class Flow:
    """x' = f - γ φ'(x) ∘ (Jᵀ f) + I(t) + √(2T) ξ(t), with f = -x + J φ(x).

    γ = 0 is the network of Sompolinsky, Crisanti and Sommers (1988). γ = 1 is gradient descent on
    the kinetic energy E = |f|²/2, and with T > 0 and no outside input its stationary law is
    exp(-E/T) (papers.md 1(b)).

    Parameters
    ----------
    J
        Couplings [N, N]: an array, a SciPy sparse matrix, or a ``LowRankCoupling``.
    gamma
        Onsager switch γ, any finite number; 0 vanilla, 1 gradient.
    phi
        Gain: a name, a ``Gain``, or the user's (φ, φ') or (φ, φ', φ'').
    drive
        Input I: None, one number, numbers [N], or a function of time that returns either.
    drive_inside
        False: I is added to the drift, as in the paper's code, and E does not know it. True: I is
        part of f, so that γ = 1 descends the energy of the driven network. The drifts differ by
        -γ φ'(x) ∘ (Jᵀ I).
    temperature
        T >= 0 of the white noise √(2T) dW.

    Raises
    ------
    InputError
        Couplings that are not square or finite, a drive of another shape, T < 0, γ not finite.
    """

    def __init__(
        self,
        J: Couplings,
        gamma: float = 0.0,
        phi: str | Gain | tuple[Any, ...] = "tanh",
        *,
        drive: Any = None,
        drive_inside: bool = False,
        temperature: float = 0.0,
    ) -> None:
        self.J = check_couplings(J, "Flow")
        self.gamma = check_number("Flow", "gamma", gamma, -math.inf, math.inf)
        self.phi = gain(phi)
        self.drive = check_drive(drive, self.size, "Flow")
        self.drive_inside = bool(drive_inside)
        self.temperature = check_number("Flow", "temperature", temperature, 0.0, math.inf)

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(self.J.shape[0])

    def speed(self, x: Array, t: float = 0.0) -> Array:
        """f = -x + J φ(x), plus I(t) where the drive is inside, for x [N] or columns [N, S]."""
        f: Array = self.J @ self.phi.value(x)
        f -= x
        if self.drive_inside:
            entering = drive_at(self.drive, t, x)
            if entering is not None:
                f += entering
        return f

    def drift(self, x: Array, t: float = 0.0) -> Array:
        """Right-hand side without noise, for x [N] or columns [N, S]."""
        f = self.speed(x, t)
        if self.gamma != 0.0:
            back: Array = self.J.T @ f
            back *= self.phi.slope(x)
            back *= self.gamma
            f -= back
        if not self.drive_inside:
            entering = drive_at(self.drive, t, x)
            if entering is not None:
                f += entering
        return f

    def energy(self, x: Array, t: float = 0.0) -> Any:
        """Kinetic energy E = |f|²/2; a float for [N], [S] for [N, S]."""
        f = self.speed(x, t)
        total = 0.5 * np.einsum("i...,i...->...", f, f)
        return float(total) if x.ndim == 1 else total

    def gradient(self, x: Array, t: float = 0.0) -> Array:
        """∇E = -f + φ'(x) ∘ (Jᵀ f), whatever γ is."""
        f = self.speed(x, t)
        return np.asarray(self.phi.slope(x) * (self.J.T @ f) - f)

    def linearise(self, x: Array, t: float = 0.0) -> Linearisation:
        """Jacobian of the drift at x [N] as an operator.

        Raises
        ------
        InputError
            γ is not zero and the gain has no second derivative.
        """
        slope = self.phi.slope(x)
        if self.gamma == 0.0:
            return Linearisation(self.J, 0.0, slope, np.zeros(x.shape))
        if self.phi.curvature is None:
            raise InputError("linearise", found=f"gain {self.phi.name!r} without second derivative",
                             expected="(φ, φ', φ'') where gamma is not zero")
        back: Array = self.J.T @ self.speed(x, t)
        return Linearisation(self.J, self.gamma, slope,
                             self.gamma * self.phi.curvature(x) * back)

    def jacobian(self, x: Array, t: float = 0.0) -> Array:
        """Dense Jacobian of the drift [N, N]; O(N²) after JᵀJ has been formed once."""
        at = self.linearise(x, t)
        dense_j, d = dense(self.J), at.slope
        M = dense_j * d
        if self.gamma != 0.0:
            M -= self.gamma * d[:, None] * (self._gram * d - dense_j.T)
            M[np.diag_indices(self.size)] -= at.shift
        M[np.diag_indices(self.size)] -= 1.0
        return M

    def stable_step(self, method: str = "rk4") -> float:
        """Longest step that a fixed-step ``method`` can take without growing a decaying mode.

        Two modes bound it. The fastest, taken as real: its rate is at most σ_max(1 - J)
        σ_max(1 - γ J) at the gain's steepest slope (γ = 1: λ₊, g²(√(1 + 8/g²) + 3)³ /
        8(√(1 + 8/g²) + 1) for large Gaussian networks, papers.md 1(f)3), and a step 2 of its
        inverse for Euler and 2.785 for RK4. And one that decays with the leak, at rate 1, and turns
        as fast as any eigenvalue there, ω (estimated): Euler damps it up to 2 / (1 + ω²).
        Modes at the edge of growing are grown a little by every step of Euler. Far from rest φ''
        adds to the rate: half of this step is safe there.

        Returns
        -------
        float
            Time; infinite for methods that choose their own step.
        """
        turning = -1.0 + 1j * self.extent[1]
        return min(longest_step(method, -self.rate), longest_step(method, turning))

    @cached_property
    def _gram(self) -> Array:
        matrix = dense(self.J)
        return np.asarray(matrix.T @ matrix)

    @cached_property
    def rate(self) -> float:
        """Bound of the fastest rate |λ| (1/time), see ``stable_step``."""
        return fastest_rate(self.J, self.gamma, self.phi)

    @cached_property
    def extent(self) -> tuple[float, float]:
        """Fastest decay and fastest turn (1/time) of eigenvalues there, estimated."""
        return extent(self.J, self.gamma, self.phi)

    def __repr__(self) -> str:
        return (f"Flow(N={self.size}, gamma={self.gamma:g}, phi={self.phi.name!r}"
                + (f", T={self.temperature:g}" if self.temperature else "") + ")")
