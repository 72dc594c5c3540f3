"""The one form that a system kind fills so that the QR driver can run it.

A propagator carries a state (where there is one) and a frame of tangent vectors through a sequence
of linear maps, and knows nothing of exponents, errors or stopping.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError

Array = NDArray[np.float64]
State = dict[str, "Array | float | str"]


class Propagator(ABC):
    """State and frame of one system, carried forward in steps.

    Attributes
    ----------
    size
        Dimension N of the tangent space.
    unit
        Time of one step; 1 for maps and for layers.
    time
        Time carried so far.
    timescale
        The time in which the system changes by itself: default lengths are multiples of it, and
        the QR interval is at most five of it.
    ended
        True once a finite sequence has no further step. ``carry`` then did fewer steps than it
        was asked for, and ``time`` says how many.
    """

    size: int
    unit: float = 1.0
    time: float = 0.0
    timescale: float = 1.0
    ended: bool = False

    def lengths(self) -> tuple[float, float, float]:
        """Default times: transient of the state, warm-up of the frame, duration."""
        return 100 * self.timescale, 50 * self.timescale, 500 * self.timescale

    @abstractmethod
    def advance(self, steps: int) -> None:
        """Carry the state alone, ``steps`` steps."""

    def place(self, frame: Array) -> Array:
        """The frame where :meth:`carry` works on it, so that its first place can be freed."""
        return frame

    @abstractmethod
    def carry(self, frame: Array, steps: int) -> Array:
        """Carry state and frame together.

        Parameters
        ----------
        frame
            [N, k] float64, Fortran order. May be overwritten.
        steps
            How many steps.

        Returns
        -------
        ndarray
            The new frame [N, k], float64, Fortran order.
        """

    def blocks(self, frame: Array, steps: int, count: int) -> tuple[Array, Array] | None:
        """Carry and orthonormalise ``count`` times ``steps`` steps in one compiled loop.

        Returns
        -------
        tuple or None
            The new orthonormal frame and the log diagonals [count, k] of R (``-inf`` for a
            direction that collapsed, NaN from where the state or frame is not finite); ``None``
            where there is no such loop, which is the default.
        """
        return None

    def rescale(self, factor: Array) -> None:  # noqa: B027
        """Follow a QR of the frame, which became ``frame @ inv(factor)``.

        ``factor`` [k, k] is upper triangular with a positive diagonal. Multistep methods keep past
        slopes of the frame and change them alike; others do nothing.
        """

    def volume(self) -> float | None:
        """Integral of the trace (sum of log |det|) over the carries since the last call.

        ``None`` where it is not known. It may be tracked only while the frame is full.
        """
        return None

    def finite(self) -> bool:
        """Whether the state is finite."""
        return True

    @abstractmethod
    def state(self) -> State:
        """All that is needed to go on from here with the same bits, ``time`` included."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go back to what :meth:`state` gave."""

    def settings(self) -> dict[str, Any]:
        """What a reader needs to know of the numerics: method, step, parameters."""
        return {}


@singledispatch
def propagator(
    system: Any,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> Propagator:
    """Make the propagator of a system; each kind registers its own.

    Parameters
    ----------
    system
        A flow, a map, a user's system, a sequence of matrices or operators, or a propagator.
    method, dt, x0, dtype
        Integrator, step (time), initial state [N], and precision of the tangent products. ``None``
        is the kind's default.
    seed
        Of whatever the kind draws at random (initial state, noise).

    Raises
    ------
    InputError
        Nothing is known about this kind of system.
    """
    raise InputError(
        "propagator",
        found=f"a system of type {type(system).__name__}",
        expected="a Flow, Map, System, DiscreteSystem, MatrixSequence or Operators",
        mend="Wrap matrices in MatrixSequence and right-hand sides in System.",
    )


@propagator.register
def _(
    system: Propagator,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> Propagator:
    return system


def refuse_options(kind: str, **given: Any) -> None:
    """Refuse options that a kind of system has no use for, instead of ignoring them.

    Raises
    ------
    InputError
        One of them is neither ``None`` nor its default.
    """
    for name, value in given.items():
        if value is not None and not (name == "dtype" and value == "float64"):
            raise InputError(
                f"spectrum of {kind}", found=f"{name}={value!r}", expected=f"no {name} here"
            )
