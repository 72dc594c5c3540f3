"""Flows with known exponents. Compiled when they are first run, not at import."""

# mypy: disable-error-code="no-untyped-def, misc, untyped-decorator, no-untyped-call"

from __future__ import annotations

import numpy as np
from numba import njit

from neurosparse.lyapunov.system import System


@njit
def _lorenz63(t, x, out, p):
    out[0] = p[0] * (x[1] - x[0])
    out[1] = x[0] * (p[1] - x[2]) - x[1]
    out[2] = x[0] * x[1] - p[2] * x[2]


@njit
def _lorenz63_tangent(t, x, v, out, p):
    out[0] = p[0] * (v[1] - v[0])
    out[1] = v[0] * (p[1] - x[2]) - x[0] * v[2] - v[1]
    out[2] = x[0] * v[1] + v[0] * x[1] - p[2] * v[2]


def lorenz63(sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3) -> System:
    """Lorenz's system of 1963; the sum is -(1 + sigma + beta)."""
    return System(
        _lorenz63, _lorenz63_tangent, 3, trace=-(1 + sigma + beta), x0=[10.0, 10.0, 10.0],
        parameters=(sigma, rho, beta), name="lorenz63",
    )  # fmt: skip


@njit
def _rossler(t, x, out, p):
    out[0] = -x[1] - x[2]
    out[1] = x[0] + p[0] * x[1]
    out[2] = p[1] + x[2] * (x[0] - p[2])


@njit
def _rossler_tangent(t, x, v, out, p):
    out[0] = -v[1] - v[2]
    out[1] = v[0] + p[0] * v[1]
    out[2] = v[2] * (x[0] - p[2]) + x[2] * v[0]


@njit
def _rossler_trace(t, x, p):
    return p[0] + x[0] - p[2]


def rossler(a: float = 0.2, b: float = 0.2, c: float = 5.7) -> System:
    """Rössler's system of 1976."""
    return System(
        _rossler, _rossler_tangent, 3, trace=_rossler_trace, x0=[1.0, 1.0, 0.0],
        parameters=(a, b, c), name="rossler", timescale=2.0,
    )  # fmt: skip


@njit
def _jerk(t, x, out, p):
    out[0] = x[1]
    out[1] = x[2]
    out[2] = -p[0] * x[2] + x[1] * x[1] - x[0]


@njit
def _jerk_tangent(t, x, v, out, p):
    out[0] = v[1]
    out[1] = v[2]
    out[2] = -p[0] * v[2] + 2 * x[1] * v[1] - v[0]


def jerk(a: float = 2.017) -> System:
    """The simplest chaotic jerk flow, x''' = -a x'' + x'² - x (Sprott 1997); the sum is -a."""
    return System(
        _jerk, _jerk_tangent, 3, trace=-a, x0=[6.0, 0.0, 1.0], parameters=(a,), name="jerk",
        timescale=2.0,
    )  # fmt: skip


@njit
def _linz_sprott(t, x, out, p):
    out[0] = x[1]
    out[1] = x[2]
    out[2] = -p[0] * x[2] - x[1] + abs(x[0]) - 1


@njit
def _linz_sprott_tangent(t, x, v, out, p):
    out[0] = v[1]
    out[1] = v[2]
    out[2] = -p[0] * v[2] - v[1] + np.sign(x[0]) * v[0]


def linz_sprott(a: float = 0.6) -> System:
    """The piecewise linear jerk flow x''' = -a x'' - x' + |x| - 1; the sum is -a."""
    return System(
        _linz_sprott, _linz_sprott_tangent, 3, trace=-a, x0=[0.0, 0.0, 0.0], parameters=(a,),
        name="linz_sprott", timescale=2.0,
    )  # fmt: skip


@njit
def _lorenz96(t, x, out, p):
    n = x.shape[0]
    for i in range(n):
        out[i] = (x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + p[0]


@njit
def _lorenz96_tangent(t, x, v, out, p):
    n = x.shape[0]
    for i in range(n):
        right = (i + 1) % n
        out[i] = (v[right] - v[i - 2]) * x[i - 1] + (x[right] - x[i - 2]) * v[i - 1] - v[i]


def lorenz96(size: int = 40, forcing: float = 8.0) -> System:
    """Lorenz's ring of 1996; the sum is -N."""
    start = np.full(size, forcing)
    start[0] += 0.01
    return System(
        _lorenz96, _lorenz96_tangent, size, trace=-float(size), x0=start, parameters=(forcing,),
        name="lorenz96",
    )  # fmt: skip


@njit
def _van_der_pol(t, x, out, p):
    out[0] = x[1]
    out[1] = -p[0] * (x[0] * x[0] - 1) * x[1] - x[0] + p[1] * np.cos(p[2] * t)


@njit
def _van_der_pol_tangent(t, x, v, out, p):
    out[0] = v[1]
    out[1] = -(2 * p[0] * x[0] * x[1] + 1) * v[0] - p[0] * (x[0] * x[0] - 1) * v[1]


@njit
def _van_der_pol_trace(t, x, p):
    return -p[0] * (x[0] * x[0] - 1)


def van_der_pol(d: float = 5.0, a: float = 5.0, omega: float = 2.466) -> System:
    """Driven van der Pol oscillator x'' + d (x² - 1) x' + x = a cos(omega t).

    A driven system has no exponent that is zero by itself.
    """
    return System(
        _van_der_pol, _van_der_pol_tangent, 2, trace=_van_der_pol_trace, x0=[1.0, 0.0],
        parameters=(d, a, omega), name="van_der_pol",
    )  # fmt: skip
