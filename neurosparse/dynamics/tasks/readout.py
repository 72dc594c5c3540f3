"""Linear readout by ridge regression, scored on data that it was not fitted to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]

# A periodic drive excites few directions; the others must be damped, by how much is chosen.
RIDGES = tuple(10.0**power for power in range(-12, 1, 2))
_BLOCKS = 16


def score(prediction: Any, target: Any, reference: Any = 0.0) -> Any:
    """1 - ⟨(z - s)²⟩ / ⟨(s - reference)²⟩ over the first axis.

    One for a perfect readout, zero for one that says ``reference`` all the time, negative for a
    worse one. For a sine the denominator is the 1/2 of papers.md 1(c)6.

    Parameters
    ----------
    prediction, target
        [T] or [T, D].
    reference
        What a readout without knowledge would say; a number or [D].

    Returns
    -------
    float or [D]

    Raises
    ------
    InputError
        Prediction and target of different shapes: [T] beside [T, 1] would be spread to [T, T].
    """
    z, s = np.asarray(prediction, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if z.shape != s.shape or s.ndim not in (1, 2) or len(s) == 0:
        raise InputError("score", found=f"prediction {list(z.shape)}, target {list(s.shape)}",
                         expected="[T] or [T, D], the same for both")
    error = np.mean((z - s) ** 2, axis=0)
    scale = np.mean((s - reference) ** 2, axis=0)
    found = 1.0 - np.divide(error, scale, out=np.full_like(error, np.nan), where=scale > 0)
    return float(found) if np.ndim(found) == 0 else found


def score_error(prediction: Array, target: Array, reference: Any = 0.0) -> Array:
    """Standard error of :func:`score` [D], from blocks of time (16): neighbours are correlated."""
    count = min(_BLOCKS, len(target))
    if count < 2:
        return np.full(target.shape[1:], np.nan)
    parts = np.array_split(np.arange(len(target)), count)
    error = np.array([np.mean((prediction[p] - target[p]) ** 2, axis=0) for p in parts])
    scale = np.array([np.mean((target[p] - reference) ** 2, axis=0) for p in parts])
    whole = scale.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # delta method for a ratio of means
        rest = (error - error.mean(axis=0) / whole * scale) / whole
    return np.asarray(rest.std(axis=0, ddof=1) / math.sqrt(count))


@dataclass(frozen=True)
class Readout:
    """z = a + Wᵀ x.

    Attributes
    ----------
    weights
        W [N, D].
    offset
        a [D].
    ridge
        Penalty of each target [D], in units of the mean variance of a neuron.
    mean
        Mean of the targets over the fitted times [D]: what a readout without knowledge would say.
    single
        Whether it was fitted to targets [T]: D is 1, and the output has their shape.
    """

    weights: Array
    offset: Array
    ridge: Array
    mean: Array
    single: bool = False

    def __call__(self, states: Any) -> Array:
        """Read out states [T, N]: [T, D], or [T] where the targets were [T]."""
        said = np.asarray(np.asarray(states) @ self.weights + self.offset)
        return said[..., 0] if self.single else said


class _Ridge:
    """min |s - a - X W|² + ridge T v |W|², v the mean variance of a neuron, for any ridge."""

    def __init__(self, states: Array, targets: Array) -> None:
        from scipy.linalg import svd

        self.centre = states.mean(axis=0)
        self.mean = targets.mean(axis=0)
        left, self.sizes, self.right = svd(states - self.centre, full_matrices=False)
        self.along = left.T @ (targets - self.mean)
        self.unit = float((self.sizes**2).sum()) / states.shape[1]

    def weights(self, ridge: Array) -> Array:
        damping = self.sizes[:, None] ** 2 + ridge * self.unit
        gains = np.divide(self.sizes[:, None], damping, out=np.zeros_like(damping),
                          where=damping > 0)
        return np.asarray(self.right.T @ (gains * self.along))


def fit_readout(
    states: Any, targets: Any, *, ridge: float | Sequence[float] = RIDGES, validation: float = 0.25
) -> Readout:
    """Fit one ridge regression a target, with offset.

    Parameters
    ----------
    states
        [T, N].
    targets
        [T] or [T, D].
    ridge
        Penalty in units of the mean variance of a neuron. Of several the one is taken that is
        best, for each target, on the last ``validation`` of these times after a fit to the times
        before; then all times are fitted.
    validation
        Fraction in (0, 1).

    Raises
    ------
    InputError
        Shapes that do not fit, too few times, entries that are not finite, a negative ridge.
    """
    X = np.asarray(states, dtype=np.float64)
    S = np.asarray(targets, dtype=np.float64)
    single = S.ndim == 1
    S = S[:, None] if single else S
    if X.ndim != 2 or S.ndim != 2 or len(X) != len(S) or len(X) < 4:
        raise InputError("fit a readout", found=f"states {list(X.shape)}, targets {list(S.shape)}",
                         expected="[T, N] and [T] or [T, D] with one T >= 4")
    if not (np.isfinite(X).all() and np.isfinite(S).all()):
        raise InputError("fit a readout", found="NaN or infinite entries",
                         expected="finite states and targets")
    ridges = np.atleast_1d(np.asarray(ridge, dtype=np.float64))
    if ridges.ndim != 1 or ridges.size == 0 or not (np.isfinite(ridges) & (ridges >= 0)).all():
        raise InputError("fit a readout", found=f"ridge = {ridge!r}", expected="numbers >= 0")
    if not 0.0 < validation < 1.0:
        raise InputError("fit a readout", found=f"validation = {validation}",
                         expected="a fraction between 0 and 1")
    chosen = np.full(S.shape[1], ridges[0])
    if ridges.size > 1:
        split = max(2, min(len(X) - 1, round((1.0 - validation) * len(X))))
        first = _Ridge(X[:split], S[:split])
        errors = np.empty((ridges.size, S.shape[1]))
        for row, value in enumerate(ridges):
            said = first.mean + (X[split:] - first.centre) @ first.weights(np.full(1, value))
            errors[row] = np.mean((said - S[split:]) ** 2, axis=0)
        chosen = ridges[np.argmin(errors, axis=0)]
    fit = _Ridge(X, S)
    weights = fit.weights(chosen)
    return Readout(weights, fit.mean - fit.centre @ weights, chosen, fit.mean, single)
