"""The user's own map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.lyapunov.pointers import field
from neurosparse.lyapunov.propagator import Propagator, propagator, refuse_options
from neurosparse.lyapunov.system import UserPropagator, UserSystem

Array = NDArray[np.float64]


class DiscreteSystem(UserSystem):
    """A map ``x' = step(n, x)`` with its tangent action ``v' = (d step / dx) v``.

    Parameters
    ----------
    step, tangent
        Plain: ``step(n, x [N]) -> [N]`` and ``tangent(n, x [N], V [N, k]) -> [N, k]``. Compiled
        (numba ``njit``): ``step(n, x, out)`` and ``tangent(n, x, v [N], out [N])``, which write
        into ``out``; then the whole loop is compiled. Each may take the parameters as a last
        argument.
    size
        N.
    log_determinant
        ``log |det d step / dx|`` as a function of ``(n, x)``, or a number where it is constant:
        gives the sum rule.
    x0, name, parameters, timescale
        As for :class:`System`; ``timescale`` is in steps.

    Raises
    ------
    InputError
        A size or shape is wrong, or compiled and plain functions are mixed.

    Examples
    --------
    >>> import numpy as np
    >>> diagonal = np.array([[1.1], [0.8]])
    >>> linear = DiscreteSystem(lambda n, x: 0 * x, lambda n, x, V: diagonal * V, 2)
    """

    kind = "DiscreteSystem"
    discrete = True

    def __init__(
        self,
        step: Callable[..., Any],
        tangent: Callable[..., Any],
        size: int,
        *,
        log_determinant: Callable[..., Any] | float | None = None,
        x0: Any = None,
        name: str = "",
        parameters: Sequence[float] = (),
        timescale: float = 10.0,
    ) -> None:
        super().__init__(
            step, tangent, size, trace=log_determinant, x0=x0, name=name, parameters=parameters,
            timescale=timescale,
        )  # fmt: skip


class MapPropagator(UserPropagator):
    """Steps of a map on state and frame."""

    def loop(self, rows: Array, steps: int, logs: Array, factor: bool) -> float:
        """The compiled loop."""
        from neurosparse.lyapunov.compiled import run_map

        system = self.system
        return float(
            run_map(
                field(system.advance, system.tangent, self._function, True),
                self.x, rows, self.steps, steps, logs, system.parameters, factor,
            )
        )  # fmt: skip

    def plain(self, frame: Array) -> Array:
        """One step in NumPy."""
        system, n = self.system, self.steps
        if self._function is not None:
            self._volume += float(system.call(self._function, n, self.x))
        if frame.shape[1]:
            frame = np.asarray(system.call(system.tangent, n, self.x, frame), dtype=np.float64)
        self.x = np.array(system.call(system.advance, n, self.x), dtype=np.float64)
        return frame


@propagator.register
def _(
    system: DiscreteSystem,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> Propagator:
    refuse_options("a DiscreteSystem", method=method, dt=dt, dtype=dtype)
    return MapPropagator(system, x0, seed)
