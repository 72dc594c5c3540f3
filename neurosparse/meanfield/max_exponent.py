"""Largest Lyapunov exponent of a stationary state."""

from __future__ import annotations

from typing import Any

from neurosparse.dynamics.gains import Gain
from neurosparse.meanfield.inputs import StationaryInput
from neurosparse.meanfield.solution import StationarySolution
from neurosparse.meanfield.stationary import stationary


def max_exponent(state: StationarySolution | float, phi: str | Gain | tuple[Any, ...] = "tanh", *,
                 delta: float | None = None, noise: float = 0.0,
                 drive: StationaryInput = None) -> float:
    """Largest Lyapunov exponent λ_max per unit of time.

    Parameters
    ----------
    state
        A stationary solution, or the coupling gain g, for which one is solved.
    phi, delta, noise, drive
        As for :func:`neurosparse.meanfield.stationary`; used only where ``state`` is a gain.

    Raises
    ------
    InputError
        As :func:`neurosparse.meanfield.stationary`.

    Notes
    -----
    Continuous time: λ = -1 + √(1 - E₀), E₀ the ground energy of -∂² + 1 - g²⟨φ'φ'⟩(τ) (Sompolinsky,
    Crisanti and Sommers 1988). δ = 1: λ = ln(g √⟨φ'²⟩) (Molgedey et al. 1992). Between: Clark,
    arXiv:2610.12426.
    """
    if isinstance(state, StationarySolution):
        return state.max_exponent
    return stationary(state, phi, delta=delta, noise=noise, drive=drive).max_exponent
