"""What a stationary solution holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.meanfield.checks import array, inside
from neurosparse.meanfield.inputs import Sinusoid

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StationarySolution:
    """The stationary state of a random network of infinite size.

    Attributes
    ----------
    variance
        Δ0 of a neuron's input x, over neurons and time: the autocovariance at lag zero.
    plateau
        Autocovariance at infinite lag: the part that is frozen. Under a sinusoid, whose part never
        dies out, the mean over the last period.
    lags
        [T] lags >= 0 in units of the neuron's time constant.
    autocovariance
        [T] ⟨x(t) x(t+τ)⟩ less the squared mean, everything included: what comes from the couplings,
        from noise, from the spread of a constant input and from a sinusoid
        (:attr:`driven_autocovariance` is the last by itself).
    gain_autocovariance
        [T] ⟨φ(x(t)) φ(x(t+τ))⟩.
    slope_autocovariance
        [T] ⟨φ'(x(t)) φ'(x(t+τ))⟩, the well of the exponent's operator.
    max_exponent
        Largest Lyapunov exponent per unit of time.
    zero_mode
        First odd energy of the exponent's operator: zero in theory for an autonomous chaotic
        flow, hence a measure of the solver's error; NaN where the theory does not fix it.
    residual
        Largest residual of the lag equation, in units of Δ0 (under a sinusoid of the variance less
        the sinusoid's own).
    status
        ``"rest"`` (variance zero), ``"fixed point"`` (frozen), ``"chaotic"`` (no noise,
        fluctuating) or ``"fluctuating"`` (noise or an input in time; chaotic where the exponent
        is positive).
    settings
        The arguments that made it.
    """

    variance: float
    plateau: float
    lags: Array
    autocovariance: Array
    gain_autocovariance: Array
    slope_autocovariance: Array
    max_exponent: float
    zero_mode: float
    residual: float
    status: str
    settings: dict[str, Any] = field(default_factory=dict)
    _at: Callable[[Array], Array] | None = field(default=None, repr=False)

    @property
    def driven_autocovariance(self) -> Array:
        """[T] The sinusoid's own part of the autocovariance, A² cos(ω τ)/(2 (1 + ω²)).

        It is what the leak makes of the input alone; zeros where there is no sinusoid. The rest of
        the autocovariance is that of a Gaussian, also where it follows the sinusoid's period.
        """
        drive = self.settings.get("drive")
        return drive.answer(self.lags) if isinstance(drive, Sinusoid) else np.zeros_like(self.lags)

    def at(self, lags: ArrayLike) -> Array:
        """Autocovariance at any lags (of a map: at multiples of its step).

        Beyond the solved lags it is flat, and under a sinusoid of the last period's form.

        Raises
        ------
        InputError
            A lag of a map that is not a multiple of its step, or no array of numbers.
        """
        asked = np.abs(array("autocovariance", "lags", lags))
        assert self._at is not None
        return self._at(asked)

    def response(self, lags: ArrayLike) -> Array:
        """Response ⟨∂x(t)/∂I(t')⟩ at lag t - t', averaged over neurons.

        Independent couplings feed nothing back on average, so it is that of a single neuron:
        exp(-τ) for the flow and δ (1-δ)^(τ/δ - 1) for τ > 0 of the map (per input of one step).

        Raises
        ------
        InputError
            No array of numbers.
        """
        tau = array("response", "lags", lags)
        delta = self.settings.get("delta")
        if delta is None:
            return np.where(tau >= 0, np.exp(-np.maximum(tau, 0.0)), 0.0)
        steps = np.rint(tau / delta)
        past = np.maximum(steps - 1, 0.0)
        decay = np.where(past > 0, (1 - delta) ** past, 1.0)
        return np.where(steps > 0, delta * decay, 0.0)


def check_covariance(autocovariance: Array, operation: str, tolerance: float = 1e-6) -> Array:
    """Return the autocovariance [T] on lags 0 ... T-1 if it can be one.

    Raises
    ------
    InputError
        Its even, periodic continuation has a negative power spectrum, which a lag window too short
        for the fall makes; or it is not an array [T] of numbers.
    """
    inside(operation, "tolerance", tolerance, 0)
    autocovariance = array(operation, "the autocovariance", autocovariance)
    if autocovariance.ndim != 1 or autocovariance.size < 1:
        raise InputError(operation, found=f"an autocovariance of shape {autocovariance.shape}",
                         expected="[T]")
    level = autocovariance - autocovariance[-1]
    spectrum = np.fft.fft(np.concatenate([level, level[-2:0:-1]])).real
    if level.size > 2 and spectrum[1:].min(initial=0.0) < -tolerance * max(spectrum.max(), 1e-300):
        raise InputError(operation, found=f"a power spectrum down to {spectrum.min():.3g} "
                         f"(largest {spectrum.max():.3g}): not a covariance",
                         expected="a window longer than the autocovariance's fall",
                         mend="Take a longer window, or leave it out.")
    return autocovariance
