"""Activations with what a bound needs: the largest slope, everywhere and over an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, expit, ndtr

from neurosparse.errors import InputError
from neurosparse.meanfield import max_slope, softmax_bound
from neurosparse.propagation import checks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    """φ, φ' and the points where |φ'| can have a maximum inside an interval.

    All of them have φ(0) = 0, so that the ball of radius r is mapped into that of slope r.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    turning: tuple[float, ...]


def _silu_slope(x: Array) -> Array:
    s = expit(x)
    return np.asarray(s * (1 + x * (1 - s)))


def _gelu_slope(x: Array) -> Array:
    return np.asarray(ndtr(x) + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))


def _tanh_slope(x: Array) -> Array:
    # 1 - tanh² loses all digits in the tails.
    e = np.exp(-2 * np.abs(x))
    return np.asarray(4 * e / (1 + e) ** 2)


_SILU, _GELU = max_slope("silu")[1], max_slope("gelu")[1]

ACTIVATIONS = {
    "linear": Activation(lambda x: x, np.ones_like, ()),
    "relu": Activation(lambda x: np.maximum(x, 0), lambda x: np.asarray(x > 0, float), ()),
    "tanh": Activation(np.tanh, _tanh_slope, (0.0,)),
    "erf": Activation(erf, lambda x: np.asarray(2 / np.sqrt(np.pi) * np.exp(-x * x)), (0.0,)),
    "gelu": Activation(lambda x: np.asarray(x * ndtr(x)), _gelu_slope, (-_GELU, _GELU)),
    "silu": Activation(lambda x: np.asarray(x * expit(x)), _silu_slope, (-_SILU, _SILU)),
}


def activation(name: str) -> Activation:
    """The activation of that name.

    Raises
    ------
    InputError
        It is unknown.
    """
    if name not in ACTIVATIONS:
        raise InputError("activation", found=f"activation {name!r}",
                         expected="one of " + ", ".join(sorted(ACTIVATIONS)))
    return ACTIVATIONS[name]


def activation_constant(name: str) -> float:
    """Lipschitz constant over all inputs.

    tanh 1, GELU 1.128904, SiLU 1.099839, erf 2/√π, ReLU and linear 1, softmax 1/2 (as a map of
    vectors, Euclidean norm). RMSNorm has none over all inputs: ``rmsnorm_constant``.

    Raises
    ------
    InputError
        The activation is unknown.
    """
    if name == "softmax":
        return softmax_bound()
    activation(name)
    return max_slope(name)[0]


def slope_between(name: str, one: ArrayLike, other: ArrayLike) -> Array:
    """Largest |φ'| between two points, elementwise: |φ(b) - φ(a)| <= slope |b - a|.

    Raises
    ------
    InputError
        The activation is unknown, or the shapes differ.
    """
    known = activation(name)
    a, b = (checks.numbers("slope_between", "a point", point) for point in (one, other))
    if a.shape != b.shape:
        raise InputError("slope_between", found=f"shapes {a.shape} and {b.shape}",
                         expected="two points of one shape")
    low, high = np.minimum(a, b), np.maximum(a, b)
    steepest = np.maximum(np.abs(known.slope(low)), np.abs(known.slope(high)))
    for point in known.turning:
        at = abs(float(known.slope(np.array(point))))
        steepest = np.where((low <= point) & (point <= high), np.maximum(steepest, at), steepest)
    return steepest


def rmsnorm_constant(one: ArrayLike, other: ArrayLike, *, gain: ArrayLike = 1.0, eps: float = 0.0
                     ) -> float:
    """Lipschitz constant of RMSNorm on the segment between two states: max|gain| / least rms.

    The Jacobian of RMSNorm at x has singular values of at most 1/rms(x), rms = √(mean square +
    eps), and the rms of a point of the segment is smallest at its point nearest the origin.

    Parameters
    ----------
    one, other : arrays of shape (width,)
    gain : number or array of shape (width,)
    eps
        As in the layer.

    Raises
    ------
    InputError
        The shapes differ, a number is not finite, or the segment passes through the origin with
        eps 0.
    """
    a = checks.numbers("rmsnorm_constant", "a state", one)
    b = checks.vector("rmsnorm_constant", "the other state", other, a.size)
    scales = checks.numbers("rmsnorm_constant", "gain", gain)
    if (a.shape != b.shape or not a.size or not np.isfinite(eps) or eps < 0
            or scales.shape not in ((), a.shape)
            or not (np.all(np.isfinite(a)) and np.all(np.isfinite(scales)))):
        raise InputError("rmsnorm_constant", found=f"shapes {a.shape}, {b.shape} and of the gain "
                         f"{scales.shape}, eps {eps!r}",
                         expected="finite vectors of one length and eps not below zero")
    # Squares of very large and very small states leave float64; a power of two rounds nothing.
    unit = 2.0 ** int(np.frexp(max(np.abs(a).max(), np.abs(b).max()))[1] - 1)
    a, b = a / unit, b / unit
    move = b - a
    length = float(move @ move)
    where = float(np.clip(-(a @ move) / length, 0, 1)) if length > 0 else 0.0
    nearest = a + where * move
    # The nearest point is found with rounding errors; stay on the safe side of them.
    least = unit * max(0.0, float(np.sqrt(np.mean(nearest**2)))
                       - 1e-14 * float(np.abs(a).max() + np.abs(b).max()))
    rms = float(np.hypot(least, np.sqrt(eps)))
    if rms == 0:
        raise InputError("rmsnorm_constant", found="a segment through the origin and eps 0",
                         expected="states that RMSNorm can divide by")
    return float(np.max(np.abs(scales))) / rms
