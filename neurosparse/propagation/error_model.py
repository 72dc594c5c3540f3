"""Local error curves that grow exponentially, gains to the output, and the step that they predict.

eps_l(s) = a_l exp(k s), damage D = Σ g_l eps_l(s_l) (theory.md section 2). An estimate: this
diagonal model leaves out cross terms and the dependence of a gain on the size of the error.

Why the best budget is an arithmetic progression when log(g_l a_l) falls by kappa a block. With
equal sizes and no bound active, D is strictly convex in s and the Lagrange condition at fixed sum
is sufficient: g_l a_l k exp(k s_l) = λ for all l, that is k s_l = log(λ/k) - log(g_l a_l).
Neighbours differ by s_{l+1} - s_l = kappa / k, the same for all. The terms themselves are then all
λ/k: the best budget is the one in which every block does the same damage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.propagation import checks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorModel:
    """Curves a_l exp(k s) with gains.

    Attributes
    ----------
    log_errors : array of shape (targets,)
        log a_l.
    slope
        k > 0, common to all.
    log_gains : array of shape (targets,)
        log g_l.
    residual
        Root mean square of the fit in the logarithm; 0 for a model that was not fitted.
    """

    log_errors: Array
    slope: float
    log_gains: Array
    residual: float = 0.0

    def __post_init__(self) -> None:
        a = checks.numbers("error model", "log errors", self.log_errors)
        g = checks.numbers("error model", "log gains", self.log_gains)
        if a.ndim != 1 or not a.size or a.shape != g.shape or not np.all(np.isfinite(a + g)):
            raise InputError("error model", found=f"log errors {a.shape}, log gains {g.shape}",
                             expected="one finite number of each for every target")
        _steepness("error model", self.slope)
        object.__setattr__(self, "log_errors", a)
        object.__setattr__(self, "log_gains", g)

    def damage(self, rates: ArrayLike) -> float:
        """Σ g_l a_l exp(k s_l).

        Raises
        ------
        InputError
            Not one rate for each target.
        """
        s = checks.numbers("damage", "rates", rates)
        if s.shape != self.log_errors.shape:
            raise InputError("damage", found=f"rates of shape {s.shape}",
                             expected=f"{self.log_errors.shape}")
        return float(np.sum(np.exp(self.log_gains + self.log_errors + self.slope * s)))

    def rates(self, sparsity: float) -> Array:
        """Rates of least damage with this plain mean, shape (targets,); closed form.

        Raises
        ------
        InputError
            A rate would leave [0, 1]; the allocator (``budgets.separable``) knows bounds.
        """
        height = (self.log_gains + self.log_errors) / self.slope
        found = np.asarray(sparsity + height.mean() - height, float)
        if not (found.min() >= 0 and found.max() <= 1):
            raise InputError("rates", found=f"best rates from {found.min():.4g} to "
                             f"{found.max():.4g}", expected="rates in [0, 1]",
                             mend="Use neurosparse.budgets.separable, which keeps bounds.")
        return found

    @property
    def kappa(self) -> float:
        """Fall of log(g a) a block: minus its least-squares slope over the targets' index."""
        if self.log_errors.size < 2:
            return 0.0
        index = np.arange(self.log_errors.size) - (self.log_errors.size - 1) / 2
        return -float(index @ (self.log_gains + self.log_errors) / (index @ index))

    @property
    def step(self) -> float:
        """Predicted step kappa / k."""
        return predicted_step(self.kappa, self.slope)


def fit_errors(levels: ArrayLike, errors: ArrayLike, gains: ArrayLike | None = None) -> ErrorModel:
    """Least squares of log eps = log a_l + k s with one slope for all targets.

    Parameters
    ----------
    levels : array of shape (levels,)
        Rates, at least two different ones; only those near the asked rate, for a local slope.
    errors : array of shape (targets, levels)
        Positive local errors.
    gains : array of shape (targets,), optional
        Positive; one if not given.

    Raises
    ------
    InputError
        Shapes that do not fit, a number that is not positive, one level only, or errors that do
        not grow with the rate.
    """
    s = checks.numbers("fit_errors", "levels", levels)
    table = checks.numbers("fit_errors", "errors", errors)
    if s.ndim != 1 or np.unique(s).size < 2 or table.ndim != 2 or table.shape[1:] != s.shape:
        raise InputError("fit_errors", found=f"levels {s.shape}, errors {table.shape}",
                         expected="two different levels or more, errors of (targets, levels)")
    g = np.ones(len(table)) if gains is None else checks.numbers("fit_errors", "gains", gains)
    if g.shape != (len(table),) or not (
            np.all(table > 0) and np.all(g > 0) and np.all(np.isfinite(table))
            and np.all(np.isfinite(g)) and np.all(np.isfinite(s))):
        raise InputError("fit_errors", found=f"errors {table.shape}, gains {g.shape}, or a number "
                         "among them that is not positive", expected="positive finite numbers")
    logs = np.log(table)
    centred = s - s.mean()
    slope = float(np.mean(logs @ centred) / (centred @ centred))
    _steepness("fit_errors", slope)
    start = logs.mean(axis=1) - slope * s.mean()
    left = logs - start[:, None] - slope * s
    return ErrorModel(start, slope, np.log(g), float(np.sqrt(np.mean(left**2))))


def predicted_step(kappa: float, slope: float) -> float:
    """Step of the best progression, beta = kappa / k (ATP's grid looks for this number).

    Parameters
    ----------
    kappa
        Fall of log(g_l a_l) from a block to the next; ln c where every block amplifies an error by
        the factor c, makes the same error itself, and only the last output counts.
    slope
        k > 0 of the local error curves at the asked rate.

    Raises
    ------
    InputError
        A number that is not finite, or a slope that is not above zero.
    """
    fall = checks.numbers("predicted_step", "kappa", kappa)
    if fall.ndim or not np.isfinite(fall):
        raise InputError("predicted_step", found=f"kappa {kappa!r}", expected="a finite number")
    return float(fall / _steepness("predicted_step", slope))


def _steepness(operation: str, slope: float) -> float:
    found = checks.numbers(operation, "slope", slope)
    if found.ndim or not (np.isfinite(found) and found > 0):
        raise InputError(operation, found=f"slope k = {slope!r}",
                         expected="errors that grow with the rate: a finite k above zero")
    return float(found)
