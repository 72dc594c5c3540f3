"""The user's own ordinary differential equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.lyapunov.pointers import arguments, field, is_compiled
from neurosparse.lyapunov.propagator import Propagator, State, propagator, refuse_options
from neurosparse.lyapunov.tableaus import tableau

Array = NDArray[np.float64]


class UserSystem:
    """What flows and maps of a user have in common; see :class:`System`."""

    kind = "a system"
    discrete = False

    def __init__(
        self,
        advance: Callable[..., Any],
        tangent: Callable[..., Any],
        size: int,
        *,
        trace: Callable[..., Any] | float | None,
        x0: Any,
        name: str,
        parameters: Sequence[float],
        timescale: float,
    ) -> None:
        if isinstance(size, bool) or int(size) != size or size < 1:
            raise InputError(self.kind, found=f"size={size!r}", expected="a whole number >= 1")
        functions = [advance, tangent] + ([trace] if callable(trace) else [])
        if not all(callable(f) for f in functions):
            raise InputError(self.kind, found="no function", expected="two callables")
        if len({is_compiled(f) for f in functions}) > 1:
            raise InputError(
                self.kind,
                found="numba and plain functions together",
                expected="all of one kind",
                mend="Decorate the others with numba.njit, or pass their py_func.",
            )
        if not timescale > 0:
            raise InputError(self.kind, found=f"timescale={timescale!r}", expected="> 0")
        self.advance, self.tangent, self.trace = advance, tangent, trace
        self.size, self.name, self.timescale = int(size), name, float(timescale)
        self.parameters = np.array(parameters, dtype=np.float64)
        self.x0 = None if x0 is None else checked_state(x0, self.size, self.kind)

    @property
    def compiled(self) -> bool:
        """Whether the loop is compiled."""
        return is_compiled(self.advance)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a plain function, with the parameters if it takes one more argument."""
        if arguments(function) == len(args) + 1:
            return function(*args, self.parameters)
        return function(*args)


class System(UserSystem):
    """An ODE ``x' = rhs(t, x)`` with its tangent action ``v' = (d rhs / dx) v``.

    Parameters
    ----------
    rhs, tangent
        Plain: ``rhs(t, x [N]) -> [N]`` and ``tangent(t, x [N], V [N, k]) -> [N, k]``. Compiled
        (numba ``njit``): ``rhs(t, x, out)`` and ``tangent(t, x, v [N], out [N])``, which write into
        ``out``; then the whole loop is compiled. Each may take the parameters as a last argument.
    size
        N.
    trace
        ``trace(t, x)`` of the Jacobian, or a number where it is constant: gives the sum rule.
    x0
        Initial state [N]; standard normal from the seed by default.
    name, parameters
        For the record; ``parameters`` is handed to the functions as an array.
    timescale
        Time in which the system changes: the default step is a hundredth of it, default lengths are
        multiples of it.

    Raises
    ------
    InputError
        A size or shape is wrong, or compiled and plain functions are mixed.

    Examples
    --------
    >>> import numpy as np
    >>> decay = System(lambda t, x: -x, lambda t, x, V: -V, 2, trace=-2.0)
    """

    kind = "System"

    def __init__(
        self,
        rhs: Callable[..., Any],
        tangent: Callable[..., Any],
        size: int,
        *,
        trace: Callable[..., Any] | float | None = None,
        x0: Any = None,
        name: str = "",
        parameters: Sequence[float] = (),
        timescale: float = 1.0,
    ) -> None:
        super().__init__(
            rhs, tangent, size, trace=trace, x0=x0, name=name, parameters=parameters,
            timescale=timescale,
        )  # fmt: skip


def checked_state(x0: Any, size: int, operation: str) -> Array:
    """A state of the right shape, copied.

    Raises
    ------
    InputError
        It is not [size] or not finite.
    """
    found = np.array(x0, dtype=np.float64)
    if found.shape != (size,) or not np.isfinite(found).all():
        raise InputError(
            operation, found=f"x0 of shape {found.shape}", expected=f"a finite state [{size}]"
        )
    return found


class UserPropagator(Propagator):
    """State, volume and bookkeeping that flows and maps of a user share."""

    def __init__(self, system: UserSystem, x0: Any, seed: int) -> None:
        self.system = system
        self.size = system.size
        self.time = 0.0
        self.timescale = system.timescale
        x0 = system.x0 if x0 is None else x0
        if x0 is None:
            x0 = np.random.default_rng([seed, 0x57A]).standard_normal(self.size)
        self.x = checked_state(x0, self.size, "initial state")
        self.steps = 0
        self._volume = 0.0
        trace = system.trace
        self._constant = float(trace) if isinstance(trace, int | float) else None
        self._function = trace if callable(trace) else None

    def loop(self, rows: Array, steps: int, logs: Array, factor: bool) -> float:
        """The compiled loop, in place; returns what the trace function adds to the volume."""
        raise NotImplementedError

    def plain(self, frame: Array) -> Array:
        """One step with plain functions."""
        raise NotImplementedError

    def _count(self, steps: int) -> None:
        self.steps += steps
        self.time = self.steps * self.unit
        if self._constant is not None:
            self._volume += self._constant * steps * self.unit

    def advance(self, steps: int) -> None:
        """Carry the state alone."""
        self.carry(np.zeros((self.size, 0), order="F"), steps)

    def carry(self, frame: Array, steps: int) -> Array:
        """Carry state and frame."""
        if self.system.compiled:
            rows = frame.T
            self._volume += self.loop(rows, steps, np.zeros((1, frame.shape[1])), False)
            self._count(steps)
            return frame
        with np.errstate(over="ignore", invalid="ignore"):  # the driver looks at what comes out
            for _ in range(steps):
                frame = self.plain(frame)
                self._count(1)
        return np.asfortranarray(frame)

    def blocks(self, frame: Array, steps: int, count: int) -> tuple[Array, Array] | None:
        """All blocks in the compiled loop, where the functions are numba's."""
        if not self.system.compiled:
            return None
        logs = np.zeros((count, frame.shape[1]))
        self._volume += self.loop(frame.T, steps, logs, True)
        self._count(steps * count)
        return frame, logs

    def volume(self) -> float | None:
        """Integral of the trace since the last call."""
        found, self._volume = self._volume, 0.0
        return None if self.system.trace is None else found

    def finite(self) -> bool:
        """Whether the state is finite."""
        return bool(np.isfinite(self.x).all())

    def state(self) -> State:
        """State and time."""
        return {"x": self.x.copy(), "steps": float(self.steps)}

    def restore(self, state: State) -> None:
        """Go back to a state."""
        self.x = checked_state(state["x"], self.size, "restore a system")
        self.steps = int(state["steps"])
        self.time = self.steps * self.unit
        self._volume = 0.0

    def settings(self) -> dict[str, Any]:
        """Name and parameters."""
        return {
            "system": self.system.name,
            "parameters": self.system.parameters.tolist(),
            "compiled": self.system.compiled,
        }


class FlowPropagator(UserPropagator):
    """Fixed-step explicit Runge-Kutta on state and frame together."""

    def __init__(
        self, system: System, method: str | None, dt: float | None, x0: Any, seed: int
    ) -> None:
        super().__init__(system, x0, seed)
        self.unit = 0.01 * system.timescale if dt is None else float(dt)
        if not 0 < self.unit < np.inf:
            raise InputError("spectrum", found=f"dt={dt!r}", expected="dt > 0 and finite")
        self.method = method or "rk4"
        self.tableau = tableau(self.method)

    def loop(self, rows: Array, steps: int, logs: Array, factor: bool) -> float:
        """The compiled Runge-Kutta loop."""
        from neurosparse.lyapunov.compiled import run_flow

        system, table = self.system, self.tableau
        return float(
            run_flow(
                field(system.advance, system.tangent, self._function, False),
                table.all_weights, table.nodes, self.x, rows,
                self.time, self.unit, steps, logs, system.parameters, factor,
            )
        )  # fmt: skip

    def plain(self, frame: Array) -> Array:
        """One Runge-Kutta step in NumPy."""
        system, table, dt = self.system, self.tableau, self.unit
        slopes: list[Array] = []
        tangents: list[Array] = []
        for stage, weight, node in zip(table.stages, table.weights, table.nodes, strict=True):
            now = self.time + node * dt
            x = self.x + dt * _combined(stage, slopes, 0.0)
            v = frame + dt * _combined(stage, tangents, 0.0)
            slopes.append(np.asarray(system.call(system.advance, now, x), dtype=np.float64))
            if frame.shape[1]:
                tangents.append(np.asarray(system.call(system.tangent, now, x, v)))
            if self._function is not None:
                self._volume += weight * dt * float(system.call(self._function, now, x))
        self.x = self.x + dt * _combined(table.weights, slopes, 0.0)
        found: Array = frame + dt * _combined(table.weights, tangents, 0.0)
        return found

    def settings(self) -> dict[str, Any]:
        """Method and step too."""
        return {**super().settings(), "method": self.method, "dt": self.unit}


def _combined(weights: Array, slopes: list[Array], nothing: float) -> Any:
    terms = (w * s for w, s in zip(weights, slopes, strict=False) if w != 0.0)
    return sum(terms, start=nothing)


@propagator.register
def _(
    system: System,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> Propagator:
    refuse_options("a System", dtype=dtype)
    return FlowPropagator(system, method, dt, x0, seed)
