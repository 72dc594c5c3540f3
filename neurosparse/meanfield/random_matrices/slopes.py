"""The steepest slope of an activation: what it multiplies an error by at most."""

from __future__ import annotations

import math
from collections.abc import Callable

from neurosparse.errors import InputError

_KNOWN = ("erf", "gelu", "gelu_tanh", "linear", "relu", "sigmoid", "silu", "tanh")


def max_slope(activation: str) -> tuple[float, float]:
    """Largest |φ'| and a point where it is attained.

    GELU x Φ(x): 1.128904 at √2; SiLU x/(1+e^-x): 1.099839 at 2.39936; above one because both
    fall below zero before they rise. Attained at 0 by tanh, erf (2/√π) and the logistic sigmoid
    (1/4), everywhere by a linear unit and on x > 0 by ReLU (x = 1 is given).

    Parameters
    ----------
    activation
        One of erf, gelu, gelu_tanh, linear, relu, sigmoid, silu, tanh.

    Returns
    -------
    slope, at
        Both floats.

    Raises
    ------
    InputError
        The activation is unknown.
    """
    fixed = {"tanh": (1.0, 0.0), "erf": (2 / math.sqrt(math.pi), 0.0), "sigmoid": (0.25, 0.0),
             "linear": (1.0, 0.0), "relu": (1.0, 1.0)}
    if isinstance(activation, str) and activation in fixed:
        return fixed[activation]
    if activation == "gelu":
        at = math.sqrt(2)
        # φ'' = (2 - x²) times the normal density.
        return 0.5 * math.erfc(-1.0) + math.exp(-1.0) / math.sqrt(math.pi), at
    if activation == "silu":
        # φ'' = 0 is x tanh(x/2) = 2.
        at = _root(lambda x: x * math.tanh(0.5 * x) - 2, 1.0, 4.0)
        s = 1 / (1 + math.exp(-at))
        return s * (1 + at * (1 - s)), at
    if activation == "gelu_tanh":
        at = _root(lambda x: _gelu_tanh(x)[1], 0.5, 3.0)
        return _gelu_tanh(at)[0], at
    raise InputError("max_slope", found=f"activation {activation!r}",
                     expected="one of " + ", ".join(_KNOWN))


def _gelu_tanh(x: float) -> tuple[float, float]:
    """First and second derivative of x/2 (1 + tanh u), u = √(2/π)(x + 0.044715 x³)."""
    scale = math.sqrt(2 / math.pi)
    u = scale * (x + 0.044715 * x**3)
    du, ddu = scale * (1 + 3 * 0.044715 * x * x), scale * 6 * 0.044715 * x
    t = math.tanh(u)
    s = 1 - t * t
    first = 0.5 * (1 + t) + 0.5 * x * s * du
    return first, s * du + 0.5 * x * (s * ddu - 2 * t * s * du * du)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-15, rtol=8.9e-16))
