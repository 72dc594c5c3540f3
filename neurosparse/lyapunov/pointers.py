"""The user's numba functions as one C function pointer of a fixed type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from neurosparse.errors import InputError

#: Arrays among the arguments of each role, before the parameters; the time comes first.
_ARRAYS = {"state": 2, "tangent": 3, "trace": 1}


def is_compiled(function: Any) -> bool:
    """Whether this is a function that numba compiles."""
    return hasattr(function, "py_func")


def arguments(function: Callable[..., Any]) -> int:
    """How many positional arguments a function takes; -1 where that cannot be told."""
    try:
        found = inspect.signature(getattr(function, "py_func", function)).parameters.values()
    except (TypeError, ValueError):
        return -1
    if any(p.kind is p.VAR_POSITIONAL for p in found):
        return -1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(1 for p in found if p.kind in kinds)


@cache
def field(
    advance: Callable[..., Any],
    tangent: Callable[..., Any],
    trace: Callable[..., Any] | None,
    discrete: bool,
) -> Any:
    """Compile state, tangent and trace functions into one for the loops of ``compiled``.

    Parameters
    ----------
    advance, tangent, trace
        Numba functions ``rhs(t, x, out)``, ``tangent(t, x, v, out)``, ``trace(t, x)``, each with
        the parameters (an array) as a last argument if it wants them.
    discrete
        The first argument is a step number, not a time.

    Returns
    -------
    CFunc
        ``field(t, z [1 + k, n], out [S, 1 + k, n], s, p)``: ``z`` is the state and the tangent
        vectors below it; the slopes are written into ``out[s]``; the trace is returned. Whole
        arrays and an index, since a view in the calling loop costs more than the arithmetic.

    Raises
    ------
    InputError
        The number of arguments of a function fits neither form.
    """
    from numba import cfunc, types

    rhs, tangent = _with_parameters(advance, "state"), _with_parameters(tangent, "tangent")
    divergence = _with_parameters(_nothing if trace is None else trace, "trace")

    def both(t: Any, z: Any, out: Any, s: Any, p: Any) -> Any:
        rhs(t, z[0], out[s, 0], p)
        for i in range(1, z.shape[0]):
            tangent(t, z[0], z[i], out[s, i], p)
        return divergence(t, z[0], p)

    vector, matrix, stack = (types.Array(types.float64, n, "C") for n in (1, 2, 3))
    first = types.int64 if discrete else types.float64
    signature = types.float64(first, matrix, stack, types.int64, vector)
    return cfunc(signature, error_model="numpy")(both)


def _nothing(t: Any, x: Any, p: Any) -> float:
    return 0.0


def _with_parameters(function: Callable[..., Any], role: str) -> Callable[..., Any]:
    """The function as one that takes the parameters, and drops them if it has no use for them."""
    from numba import njit

    arrays, given = _ARRAYS[role], arguments(function)
    if given not in (1 + arrays, 2 + arrays):
        raise InputError(
            f"compile the {role} function of a system",
            found=f"{given} arguments",
            expected=f"{1 + arrays}, or {2 + arrays} with the parameters at the end",
        )
    jitted: Callable[..., Any] = function if is_compiled(function) else njit(function)
    if given == 2 + arrays:
        return jitted

    def state(t: Any, x: Any, out: Any, p: Any) -> None:
        jitted(t, x, out)

    def tangent(t: Any, x: Any, v: Any, out: Any, p: Any) -> None:
        jitted(t, x, v, out)

    def trace(t: Any, x: Any, p: Any) -> Any:
        return jitted(t, x)

    wrappers: dict[str, Callable[..., Any]] = {"state": state, "tangent": tangent, "trace": trace}
    wrapped: Callable[..., Any] = njit(wrappers[role])
    return wrapped
