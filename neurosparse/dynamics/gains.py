"""Gains: the transfer function φ of a neuron with its first two derivatives.

A gain is written twice, for arrays (NumPy) and for scalars (numba, compiled when first asked for),
so that the same name serves a flow, a compiled loop and a Gaussian average.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics import gain_formulas as formulas
from neurosparse.errors import InputError

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Scalars = tuple[Any, Any, Any]


@dataclass(frozen=True, eq=False)
class Gain:
    """A transfer function φ and its derivatives.

    Attributes
    ----------
    name
        The name by which :func:`gain` finds it, or the user's function's name.
    value, slope
        φ and φ', elementwise on arrays of any shape.
    curvature
        φ'', or None where it is not known; then only the vanilla flow can be linearised.
    parameters
        Numbers that belong to the name, such as an exponent.
    kinks
        Where φ' or φ'' jumps; a quadrature splits its panels there.
    steepest
        sup φ' (infinite where it has none).
    """

    name: str
    value: Function
    slope: Function
    curvature: Function | None = None
    parameters: dict[str, float] = field(default_factory=dict)
    kinks: tuple[float, ...] = ()
    steepest: float = math.nan
    plain: tuple[Callable[[float], float], ...] = field(default=(), repr=False)

    @cached_property
    def scalars(self) -> Scalars:
        """(φ, φ', φ'') as numba-compiled functions of one float; the last may be None.

        Raises
        ------
        InputError
            The user's own function cannot be compiled.
        """
        import numba

        # numba compiles functions only; a ufunc is called from one
        plain = [f if hasattr(f, "py_func") or inspect.isfunction(f) else _called(f)
                 for f in self.plain]
        compiled: list[Any] = [f if hasattr(f, "py_func") else numba.njit(f) for f in plain]
        for function in compiled:
            try:
                float(function(0.5))
            except Exception as error:
                raise InputError(
                    "compile a gain", found=f"{self.name!r}: {str(error).splitlines()[0]}",
                    expected="functions of one float that numba can compile",
                    mend="Decorate them with numba.njit and use the math module.",
                ) from error
        return compiled[0], compiled[1], compiled[2] if len(compiled) > 2 else None

    @property
    def slope_at_zero(self) -> float:
        """φ'(0)."""
        return float(self.slope(np.zeros(1))[0])

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Built-in gains travel to other processes by name; the user's own by their functions."""
        # a Gain of the user's own may bear a built-in name
        if _BUILT.get(self.name) is self or (self.name in _MADE and self.parameters):
            return _named, (self.name, tuple(sorted(self.parameters.items())))
        return gain, (self.plain,)


def _built(name: str, value: Function, slope: Function, curvature: Function, steepest: float,
           plain: tuple[Callable[[float], float], ...], *, kinks: tuple[float, ...] = ()) -> Gain:
    return Gain(name, value, slope, curvature, kinks=kinks, steepest=steepest, plain=plain)


_BUILT: dict[str, Gain] = {
    "tanh": _built(
        "tanh", np.tanh, formulas.tanh_slope, formulas.tanh_curvature, 1.0,
        (formulas.tanh_scalar, formulas.tanh_slope_scalar, formulas.tanh_curvature_scalar)),
    "erf": _built(
        "erf", formulas.erf_value, formulas.erf_slope, formulas.erf_curvature,
        formulas.TWO_OVER_ROOT_PI,
        (formulas.erf_scalar, formulas.erf_slope_scalar, formulas.erf_curvature_scalar)),
    "linear": _built(
        "linear", formulas.linear_value, formulas.one, formulas.zero, 1.0,
        (formulas.identity_scalar, formulas.one_scalar, formulas.zero_scalar)),
    "relu": _built(
        "relu", formulas.relu_value, formulas.relu_slope, formulas.zero, 1.0,
        (formulas.relu_scalar, formulas.relu_slope_scalar, formulas.zero_scalar), kinks=(0.0,)),
}


@lru_cache(maxsize=64)
def threshold_power(exponent: float = 2.0, threshold: float = 0.0) -> Gain:
    """Threshold-power gain φ(x) = [x - θ]₊ᵖ.

    Parameters
    ----------
    exponent
        p >= 1 (below 1 the slope is infinite at the threshold).
    threshold
        θ.

    Raises
    ------
    InputError
        The exponent is below one, or a number is not finite.
    """
    p, theta = float(exponent), float(threshold)
    if not (p >= 1 and math.isfinite(p) and math.isfinite(theta)):
        raise InputError("threshold_power", found=f"exponent {exponent!r}, threshold {threshold!r}",
                         expected="a finite exponent >= 1 and a finite threshold")

    def power(x: Array, exponent: float, factor: float) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            value = factor * np.asarray(x - theta, dtype=np.float64) ** exponent
        # x <= θ and not x > θ: a NaN must stay one
        return np.where(x <= theta, 0.0, value)

    def scalar(x: float) -> float:
        return 0.0 if x <= theta else (x - theta) ** p

    def scalar_slope(x: float) -> float:
        return 0.0 if x <= theta else p * (x - theta) ** (p - 1.0)

    def scalar_curvature(x: float) -> float:
        return 0.0 if x <= theta else p * (p - 1.0) * (x - theta) ** (p - 2.0)

    return Gain(
        "threshold-power",
        lambda x: power(x, p, 1.0),
        lambda x: power(x, p - 1.0, p),
        lambda x: power(x, p - 2.0, p * (p - 1.0)),
        parameters={"exponent": p, "threshold": theta},
        kinks=(theta,), steepest=1.0 if p == 1.0 else math.inf,
        plain=(scalar, scalar_slope, scalar_curvature),
    )


@lru_cache(maxsize=64)
def sigmoid(maximum: float = 1.0) -> Gain:
    """Logistic gain φ(x) = r_max / (1 + exp(-x)).

    Raises
    ------
    InputError
        The maximum is not a finite positive number.
    """
    top = float(maximum)
    if not (top > 0 and math.isfinite(top)):
        raise InputError("sigmoid", found=f"maximum {maximum!r}", expected="a finite number > 0")

    def value(x: Array) -> Array:
        # by exp(-|x|): neither tail overflows or cancels
        small = np.exp(-np.abs(x))
        return np.asarray(top * np.where(x >= 0, 1.0, small) / (1.0 + small))

    def slope(x: Array) -> Array:
        small = np.exp(-np.abs(x))
        return top * small / (1.0 + small) ** 2

    def curvature(x: Array) -> Array:
        return -np.tanh(0.5 * x) * slope(x)

    def scalar(x: float) -> float:
        small = math.exp(-abs(x))
        return top * (1.0 if x >= 0 else small) / (1.0 + small)

    def scalar_slope(x: float) -> float:
        small = math.exp(-abs(x))
        return top * small / (1.0 + small) ** 2

    def scalar_curvature(x: float) -> float:
        small = math.exp(-abs(x))
        return -math.tanh(0.5 * x) * top * small / (1.0 + small) ** 2

    return Gain("sigmoid", value, slope, curvature, parameters={"maximum": top},
                steepest=top / 4.0, plain=(scalar, scalar_slope, scalar_curvature))


_MADE: dict[str, Callable[..., Gain]] = {"sigmoid": sigmoid, "threshold-power": threshold_power}

GAINS: tuple[str, ...] = tuple(sorted((*_BUILT, *_MADE)))


def _named(name: str, parameters: tuple[tuple[str, float], ...] = ()) -> Gain:
    return _MADE[name](**dict(parameters)) if name in _MADE else _BUILT[name]


def _called(function: Any) -> Callable[[float], float]:
    return lambda x: function(x)


def _over_array(function: Any) -> Function:
    """Let a compiled scalar function run over an array, by a compiled loop."""
    import numba

    @numba.njit
    def loop(x, out):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            out[i] = function(x[i])

    def apply(x: Array) -> Array:
        flat = np.ascontiguousarray(x, dtype=np.float64).reshape(-1)
        out = np.empty_like(flat)
        loop(flat, out)
        return out.reshape(np.shape(x))

    return apply


def _check_derivative(function: Function, derivative: Array, grid: Array, order: int) -> None:
    """Compare what is given for the derivative of ``order`` with differences of the one before."""
    step = 1e-5
    central = np.asarray(function(grid + step) - function(grid - step)) / (2 * step)
    gap = np.abs(central - derivative)
    # a kink or three on the grid are allowed, a derivative of something else is not, nor a NaN
    # where the function has a derivative
    wrong = ~(gap <= 1e-3 * (1.0 + np.abs(derivative))) & np.isfinite(central)
    if wrong.sum() <= 3:
        return
    worst, marks = int(np.argmax(np.where(wrong, gap, 0.0))), "'" * order
    raise InputError(
        "gain", found=f"φ{marks}({grid[worst]:.3g}) = {derivative[worst]:.6g} where differences of "
        f"φ{marks[1:]} give {central[worst]:.6g}",
        expected=f"the derivative of the {('first', 'second')[order - 1]} function")


def _steepest(slope: Function, near: Array) -> float:
    """Largest |φ'| seen from -8 to 8; where it only grows to an end, that of the slopes ``near``.

    A gain that ends as a power has no steepest slope worth a step: it is used near zero.
    """
    far = np.linspace(-8.0, 8.0, 641)
    with np.errstate(all="ignore"):
        slopes = np.abs(np.asarray(slope(far), dtype=np.float64))
    top = int(np.argmax(np.where(np.isfinite(slopes), slopes, 0.0)))
    inside = 0 < top < far.size - 1 and bool(np.isfinite(slopes).all())
    return float(max(np.abs(near).max(), slopes[top] if inside else 0.0))


def _own(functions: tuple[Any, ...]) -> Gain:
    if not 2 <= len(functions) <= 3 or not all(callable(f) for f in functions):
        raise InputError("gain", found=f"{len(functions)} function(s) in {functions!r}",
                         expected="a gain with its derivative: (φ, φ') or (φ, φ', φ'')",
                         mend="Give the derivative beside the function.")
    arrays = [_over_array(f) if hasattr(f, "py_func") else f for f in functions]
    grid = np.linspace(-1.7, 1.3, 31)
    values = [np.asarray(f(grid), dtype=np.float64) for f in arrays]
    if any(value.shape != grid.shape for value in values):
        raise InputError("gain", found="shapes " + " and ".join(str(v.shape) for v in values),
                         expected=f"functions that keep the shape {grid.shape}")
    for order, derivative in enumerate(values[1:], start=1):
        _check_derivative(arrays[order - 1], derivative, grid, order)
    name = getattr(functions[0], "__name__", "own")
    if name in GAINS:
        name = f"own {name}"  # what is known of the built-in one is not known of this
    return Gain(name, arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else None,
                steepest=_steepest(arrays[1], values[1]), plain=tuple(functions))


def gain(phi: str | Gain | tuple[Any, ...]) -> Gain:
    """Return the gain that ``phi`` names.

    Parameters
    ----------
    phi
        One of ``GAINS``; a :class:`Gain`; or the user's own (φ, φ') or (φ, φ', φ''), each either a
        numba function of one float or a NumPy function of an array.

    Returns
    -------
    Gain
        With array and scalar forms.

    Raises
    ------
    InputError
        An unknown name, a gain without derivative, or a derivative φ' or φ'' of another function.
    """
    if isinstance(phi, Gain):
        return phi
    if isinstance(phi, str):
        if phi in _BUILT or phi in _MADE:
            return _named(phi)
        raise InputError("gain", found=f"phi {phi!r}", expected="one of " + ", ".join(GAINS),
                         mend="Or give (φ, φ', φ'') as functions.")
    if isinstance(phi, tuple):
        return _own(phi)
    raise InputError("gain", found=f"phi {phi!r}, a gain without derivative",
                     expected="a name, a Gain, or a tuple (φ, φ') or (φ, φ', φ'')",
                     mend="Give the derivative beside the function.")
