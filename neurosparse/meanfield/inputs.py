"""Inputs whose mean-field theory stays stationary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from neurosparse.errors import InputError


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
        if not (math.isfinite(self.mean) and math.isfinite(self.spread) and self.spread >= 0):
            raise InputError("Constant", found=f"mean {self.mean!r}, spread {self.spread!r}",
                             expected="finite numbers, spread >= 0")


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
        if not (math.isfinite(self.amplitude) and math.isfinite(self.frequency)
                and self.amplitude >= 0 and self.frequency > 0):
            raise InputError("Sinusoid", found=repr(self),
                             expected="a finite amplitude >= 0 and a finite frequency > 0")


StationaryInput: TypeAlias = Constant | Sinusoid | None
