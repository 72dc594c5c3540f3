"""Products of matrices and of linear operators: one driver for depth and for time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.lyapunov.propagator import Propagator, State, propagator, refuse_options

Array = NDArray[np.float64]


_SMALL = 32  # below this a plain loop beats BLAS and LAPACK, call by call


class LinearOperator(Protocol):
    """Anything that maps a frame [N, k] to a frame [N, k]."""

    def matmat(self, frame: Array, /) -> Array:
        """The operator times the frame."""


class MatrixSequence:
    """A product of square matrices, the first one applied first.

    Parameters
    ----------
    matrices
        An array [T, N, N], an iterable of [N, N] arrays, or a callable ``n -> [N, N]`` (an endless
        sequence). An iterable that is no list can be run once.
    size
        N; taken from the array where it has one.

    Raises
    ------
    InputError
        The matrices are not square, or N is needed and not given.

    Examples
    --------
    >>> import numpy as np
    >>> cat = MatrixSequence(lambda n: np.array([[2.0, 1.0], [1.0, 1.0]]), 2)
    """

    def __init__(
        self, matrices: Array | Iterable[Any] | Callable[[int], Any], size: int | None = None
    ) -> None:
        if isinstance(matrices, np.ndarray):
            if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
                raise InputError(
                    "matrix sequence", found=f"shape {matrices.shape}", expected="[T, N, N]"
                )
            size = matrices.shape[1]
            matrices = np.ascontiguousarray(matrices, dtype=np.float64)
        self.matrices = matrices
        self.size = _size("matrix sequence", size)


class Operators:
    """A product of linear operators, the first one applied first: layers, masked maps, JVPs.

    Parameters
    ----------
    operators
        An iterable of objects with ``matmat(frame [N, k]) -> [N, k]``, or a callable
        ``n -> operator`` (an endless sequence).
    size
        N.

    Raises
    ------
    InputError
        N is no positive whole number.
    """

    def __init__(
        self, operators: Iterable[LinearOperator] | Callable[[int], LinearOperator], size: int
    ) -> None:
        self.operators = operators
        self.size = _size("operators", size)


def _size(operation: str, size: int | None) -> int:
    if size is None or isinstance(size, bool) or int(size) != size or size < 1:
        raise InputError(operation, found=f"size={size!r}", expected="the dimension N >= 1")
    return int(size)


class SequencePropagator(Propagator):
    """Carries a frame through an indexed or iterated sequence of linear maps."""

    timescale = 10.0

    def __init__(self, source: Any, size: int, apply: Callable[[Any, Array, int], Array]) -> None:
        self.size = size
        self.time = 0.0
        self._source = source
        self._apply = apply
        self._length = len(source) if hasattr(source, "__len__") else None
        self._iterator: Iterator[Any] | None = None
        self._volume: float | None = 0.0

    @property
    def index(self) -> int:
        """Position in the sequence."""
        return int(self.time)

    def lengths(self) -> tuple[float, float, float]:
        """Everything of a sequence counts; only an endless one has a warm-up of the frame."""
        if callable(self._source):
            return 0.0, 50 * self.timescale, 500 * self.timescale
        return 0.0, 0.0, 500 * self.timescale if self._length is None else float(self._length)

    def _next(self, steps: int) -> Iterator[Any]:
        if callable(self._source):
            return (self._source(n) for n in range(self.index, self.index + steps))
        if isinstance(self._source, np.ndarray | list | tuple):
            return iter(self._source[self.index : self.index + steps])
        if self._iterator is None:
            self._iterator = iter(self._source)
        return islice(self._iterator, steps)

    def advance(self, steps: int) -> None:
        """Skip maps: there is no state."""
        skipped = sum(1 for _ in self._next(steps))
        self._passed(skipped, steps)

    def carry(self, frame: Array, steps: int) -> Array:
        """Multiply the frame by the next maps."""
        done = 0
        for operator in self._next(steps):
            frame = self._apply(operator, frame, self.index + done)
            done += 1
            if frame.shape[1] == self.size:
                self._add_volume(operator)
        self._passed(done, steps)
        return np.asfortranarray(frame)

    def blocks(self, frame: Array, steps: int, count: int) -> tuple[Array, Array] | None:
        """The compiled loop, for a stack of small matrices."""
        if not isinstance(self._source, np.ndarray) or self.size > _SMALL:
            return None
        from neurosparse.lyapunov.compiled import run_product

        count = min(count, (len(self._source) - self.index) // steps)
        logs = np.zeros((count, frame.shape[1]))
        run_product(self._source, frame.T, self.index, steps, logs)
        if frame.shape[1] == self.size and self._volume is not None:
            used = self._source[self.index : self.index + count * steps]
            with np.errstate(invalid="ignore"):  # what is not finite is seen by the driver
                self._volume += float(np.linalg.slogdet(used)[1].sum())
        self._passed(count * steps, count * steps)
        self.ended = self.ended or (self._length or 0) - self.index < steps
        return frame, logs

    def _passed(self, done: int, asked: int) -> None:
        self.time += done
        self.ended = done < asked or self.index == self._length

    def _add_volume(self, operator: Any) -> None:
        if isinstance(operator, np.ndarray) and self._volume is not None:
            self._volume += float(np.linalg.slogdet(operator)[1])
        else:
            self._volume = None

    def volume(self) -> float | None:
        """Sum of log |det| since the last call, for matrices; None for operators."""
        found = self._volume
        self._volume = 0.0
        return found

    def state(self) -> State:
        """Position alone."""
        return {"time": self.time}

    def restore(self, state: State) -> None:
        """Go to a position.

        Raises
        ------
        InputError
            The sequence is an iterator, which has been read.
        """
        time = float(state["time"])
        indexed = callable(self._source) or isinstance(self._source, np.ndarray | list | tuple)
        if not indexed and time != self.time:
            if iter(self._source) is self._source:
                raise InputError(
                    "extend", found="an iterator that has been read", expected="a list or callable"
                )
            self._iterator, self.time = None, 0.0
            self.advance(int(time))
        self.time = time
        self.ended = self._length is not None and self.index >= self._length
        self._volume = 0.0


def _matrix(size: int) -> Callable[[Any, Array, int], Array]:
    def apply(matrix: Any, frame: Array, index: int) -> Array:
        dense = np.asarray(matrix) if not hasattr(matrix, "toarray") else matrix
        if dense.shape != (size, size):
            raise InputError(
                "matrix sequence",
                found=f"matrix {index} of shape {dense.shape}",
                expected=f"({size}, {size})",
            )
        found: Array = dense @ frame
        return found

    return apply


def _operator(size: int) -> Callable[[Any, Array, int], Array]:
    def apply(operator: Any, frame: Array, index: int) -> Array:
        if not hasattr(operator, "matmat"):
            raise InputError(
                "operators",
                found=f"operator {index} of type {type(operator).__name__}",
                expected="an object with matmat(frame)",
            )
        found = np.asarray(operator.matmat(frame), dtype=np.float64)
        if found.shape != frame.shape:
            raise InputError(
                "operators",
                found=f"a result of shape {found.shape} from operator {index}",
                expected=f"shape {frame.shape}",
            )
        return found

    return apply


@propagator.register
def _(
    system: MatrixSequence,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> Propagator:
    refuse_options("a matrix sequence", method=method, dt=dt, x0=x0, dtype=dtype)
    return SequencePropagator(system.matrices, system.size, _matrix(system.size))


@propagator.register
def _(
    system: Operators,
    *,
    method: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    x0: Array | None = None,
    dtype: str = "float64",
) -> Propagator:
    refuse_options("operators", method=method, dt=dt, x0=x0, dtype=dtype)
    return SequencePropagator(system.operators, system.size, _operator(system.size))
