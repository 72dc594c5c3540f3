"""Maps with known exponents. Compiled when they are first run, not at import."""

# mypy: disable-error-code="no-untyped-def, misc, untyped-decorator, no-untyped-call"

from __future__ import annotations

import numpy as np
from numba import njit

from neurosparse.lyapunov.discrete import DiscreteSystem


@njit
def _logistic(n, x, out, p):
    out[0] = p[0] * x[0] * (1 - x[0])


@njit
def _logistic_tangent(n, x, v, out, p):
    out[0] = p[0] * (1 - 2 * x[0]) * v[0]


def logistic(r: float = 4.0) -> DiscreteSystem:
    """Logistic map; ln 2 at r = 4."""
    return DiscreteSystem(
        _logistic, _logistic_tangent, 1, x0=[0.2137], parameters=(r,), name="logistic"
    )


# A slope of 2 is a shift of bits: 53 steps empty a binary float. So the state is filled up again at
# the bottom by a generator of its own (a golden rotation), which the tangent does not see.
@njit
def _fill(n):
    return (n * 0.6180339887498949 % 1.0) * 2.0**-52


@njit
def _tent(n, x, out, p):
    out[0] = min(p[0] * min(x[0], 1 - x[0]) + _fill(n), 1.0)


@njit
def _tent_tangent(n, x, v, out, p):
    out[0] = p[0] * v[0] if x[0] < 0.5 else -p[0] * v[0]


def tent(slope: float = 2.0) -> DiscreteSystem:
    """Tent map; ln(slope)."""
    return DiscreteSystem(
        _tent, _tent_tangent, 1, x0=[0.2137], parameters=(slope,), name="tent",
        log_determinant=float(np.log(slope)),
    )  # fmt: skip


@njit
def _bernoulli(n, x, out, p):
    out[0] = (2 * x[0] + _fill(n)) % 1.0


@njit
def _bernoulli_tangent(n, x, v, out, p):
    out[0] = 2 * v[0]


def bernoulli() -> DiscreteSystem:
    """Bernoulli shift; ln 2."""
    return DiscreteSystem(
        _bernoulli, _bernoulli_tangent, 1, x0=[0.2137], name="bernoulli",
        log_determinant=float(np.log(2.0)),
    )  # fmt: skip


@njit
def _cat(n, x, out, p):
    out[0] = (2 * x[0] + x[1]) % 1.0
    out[1] = (x[0] + x[1]) % 1.0


@njit
def _cat_tangent(n, x, v, out, p):
    out[0] = 2 * v[0] + v[1]
    out[1] = v[0] + v[1]


def cat() -> DiscreteSystem:
    """Arnold's cat map; ±ln((3 + √5) / 2)."""
    return DiscreteSystem(
        _cat, _cat_tangent, 2, x0=[0.2137, 0.641], name="cat", log_determinant=0.0
    )


@njit
def _henon(n, x, out, p):
    out[0] = 1 - p[0] * x[0] * x[0] + x[1]
    out[1] = p[1] * x[0]


@njit
def _henon_tangent(n, x, v, out, p):
    out[0] = -2 * p[0] * x[0] * v[0] + v[1]
    out[1] = p[1] * v[0]


def henon(a: float = 1.4, b: float = 0.3) -> DiscreteSystem:
    """Hénon map; the sum is ln |b|."""
    return DiscreteSystem(
        _henon, _henon_tangent, 2, x0=[0.1, 0.1], parameters=(a, b), name="henon",
        log_determinant=float(np.log(abs(b))),
    )  # fmt: skip


@njit
def _standard(n, x, out, p):
    momentum = x[1] + p[0] * np.sin(x[0])
    out[1] = momentum % (2 * np.pi)
    out[0] = (x[0] + momentum) % (2 * np.pi)


@njit
def _standard_tangent(n, x, v, out, p):
    momentum = v[1] + p[0] * np.cos(x[0]) * v[0]
    out[1] = momentum
    out[0] = v[0] + momentum


def standard(strength: float = 1.0, x0: tuple[float, float] = (0.01, 0.0)) -> DiscreteSystem:
    """Chirikov's standard map on the torus, started in the chaotic sea; area is kept."""
    return DiscreteSystem(
        _standard, _standard_tangent, 2, x0=x0, parameters=(strength,), name="standard",
        log_determinant=0.0,
    )  # fmt: skip


@njit
def _ikeda(n, x, out, p):
    angle = 0.4 - 6 / (1 + x[0] * x[0] + x[1] * x[1])
    c, s = np.cos(angle), np.sin(angle)
    out[0] = 1 + p[0] * (x[0] * c - x[1] * s)
    out[1] = p[0] * (x[0] * s + x[1] * c)


@njit
def _ikeda_tangent(n, x, v, out, p):
    below = 1 + x[0] * x[0] + x[1] * x[1]
    angle = 0.4 - 6 / below
    turn = 12 * (x[0] * v[0] + x[1] * v[1]) / (below * below)
    c, s = np.cos(angle), np.sin(angle)
    out[0] = p[0] * (v[0] * c - v[1] * s - turn * (x[0] * s + x[1] * c))
    out[1] = p[0] * (v[0] * s + v[1] * c + turn * (x[0] * c - x[1] * s))


def ikeda(u: float = 0.9) -> DiscreteSystem:
    """Ikeda map; the sum is ln u² exactly (a rotation by an angle that the radius sets)."""
    return DiscreteSystem(
        _ikeda, _ikeda_tangent, 2, x0=[0.1, 0.1], parameters=(u,), name="ikeda",
        log_determinant=float(2 * np.log(u)),
    )  # fmt: skip
