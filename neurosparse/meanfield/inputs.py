"""Inputs whose mean-field theory stays stationary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside


@dataclass(frozen=True)
class Constant:
    """I_i = mean + spread z_i, constant in time, z_i standard Gaussian over neurons.

    Attributes
    ----------
    mean
        The same for every neuron.
    spread
        Standard deviation over neurons.
    """

    mean: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is not a number."""
        inside("Constant", "mean", self.mean)
        inside("Constant", "spread", self.spread, 0)


@dataclass(frozen=True)
class Sinusoid:
    """I_i(t) = amplitude cos(frequency t + θ_i), θ_i uniform over neurons.

    The random phases keep the population stationary (Rajan, Abbott and Sompolinsky, Phys. Rev. E
    82, 011903, 2010); a common phase makes it a two-time problem.

    Attributes
    ----------
    amplitude
        Peak of the input.
    frequency
        Angular, in radians a unit of time.
    """

    amplitude: float
    frequency: float

    def __post_init__(self) -> None:
        """Refuse what is not a number."""
        inside("Sinusoid", "amplitude", self.amplitude, 0)
        inside("Sinusoid", "frequency", self.frequency, 0, open_low=True)

    def answer(self, lags: ArrayLike) -> NDArray[np.float64]:
        """Autocovariance A² cos(ω τ)/(2 (1 + ω²)) of what the leak makes of the input alone.

        The mean is over neurons, hence over the phases.
        """
        tau = array("Sinusoid.answer", "lags", lags)
        power = self.amplitude**2 / (2 * (1 + self.frequency**2))
        return np.asarray(power * np.cos(self.frequency * tau))


StationaryInput: TypeAlias = Constant | Sinusoid | None


def constant_input(operation: str, drive: Any) -> Constant:
    """The constant input that ``drive`` is; for None one of zero.

    Raises
    ------
    InputError
        It is something else.
    """
    if drive is not None and not isinstance(drive, Constant):
        raise InputError(operation, found=f"drive {drive!r}", expected="a Constant, or None",
                         mend="Only stationary and max_exponent take a Sinusoid."
                         if isinstance(drive, Sinusoid) else "")
    return drive or Constant()
