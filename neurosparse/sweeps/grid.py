"""What a sweep runs: the points of a grid, a seed for each, and a fingerprint of the whole."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurosparse.errors import InputError


def plain(value: Any, name: str) -> Any:
    """``value`` as JSON would hold it; arrays as their dtype, shape and hash.

    Raises
    ------
    InputError
        The value has no form that is the same in every run.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return plain(value.item(), name)
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return ["array", value.dtype.str, list(value.shape), digest]
    if isinstance(value, Mapping):
        return {str(key): plain(part, f"{name}[{key!r}]") for key, part in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(part, name) for part in value]
    raise InputError(
        "sweep", found=f"{name} of type {type(value).__name__}",
        expected="numbers, strings, paths, arrays, or lists and dicts of them",
        mend="Build other objects inside the function, from such values.",
    )


def name_of(function: Callable[..., Any]) -> Any:
    """A name of the function for the fingerprint; a partial is named with what it holds."""
    if isinstance(function, functools.partial):
        return [name_of(function.func), plain(function.args, "an argument of the partial"),
                plain(function.keywords, "an argument of the partial")]
    kind = type(function)
    module = getattr(function, "__module__", kind.__module__)
    return f"{module}.{getattr(function, '__qualname__', kind.__qualname__)}"


@dataclass(frozen=True)
class Grid:
    """The points of a sweep, in C order of the axes, the repeats fastest."""

    function: Callable[..., Any]
    axes: dict[str, tuple[Any, ...]]
    fixed: dict[str, Any]
    repeats: int
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, then the number of repeats."""
        return (*(len(values) for values in self.axes.values()), self.repeats)

    def index(self, number: int) -> tuple[int, ...]:
        """Place of the ``number``-th point in the arrays of results."""
        return tuple(int(i) for i in np.unravel_index(number, self.shape))

    def point(self, number: int) -> dict[str, Any]:
        """Values of the axes at the ``number``-th point."""
        pairs = zip(self.axes.items(), self.index(number)[:-1], strict=True)
        return {name: values[i] for (name, values), i in pairs}

    def point_seed(self, number: int) -> int:
        """Seed of the ``number``-th point, in [0, 2^63): of the sweep's seed and the index."""
        state = np.random.SeedSequence(self.seed, spawn_key=self.index(number))
        return int(state.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def description(self) -> dict[str, Any]:
        """All that decides the results, as JSON holds it."""
        return {
            "function": name_of(self.function),
            "grid": [[name, plain(values, name)] for name, values in self.axes.items()],
            "fixed": {name: plain(self.fixed[name], name) for name in sorted(self.fixed)},
            "repeats": self.repeats,
            "seed": self.seed,
        }

    def fingerprint(self) -> str:
        """Hex SHA-256 of the description."""
        return hashlib.sha256(json.dumps(self.description()).encode()).hexdigest()


def draw_seed(base: int, draw: int) -> int:
    """Seed of a random network, in [0, 2^63), where ``draw`` is an axis of the grid.

    A sweep's own seeds differ between all points. A function that wants the same network at every
    gain takes this instead, so that differences along the axes are paired.
    """
    return int(np.random.SeedSequence([base, draw]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def make_grid(
    function: Callable[..., Any], grid: Mapping[str, Any],
    fixed: Mapping[str, Any] | None, repeats: int, seed: int,
) -> Grid:
    """Check the arguments of a sweep.

    Raises
    ------
    InputError
        No function, an empty axis, a name that is given twice, repeats < 1, or a negative seed.
    """
    if not callable(function):
        raise InputError("sweep", found=f"function = {function!r}", expected="a callable")
    if not grid:
        raise InputError("sweep", found="grid = {}", expected="at least one axis")
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise InputError("sweep", found=f"repeats = {repeats!r}", expected="an integer >= 1")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError("sweep", found=f"seed = {seed!r}", expected="an integer >= 0")
    fixed = dict(fixed or {})
    twice = sorted((set(grid) & set(fixed)) | ({"seed"} & (set(grid) | set(fixed))))
    if twice:
        raise InputError(
            "sweep", found=f"{twice[0]!r} given twice",
            expected="each argument in grid or in fixed, and 'seed' in neither",
            mend="The sweep hands each point a seed of its own; its seed is the keyword seed.",
        )
    axes = {}
    for name, values in grid.items():
        if isinstance(values, (str, Set)) or not hasattr(values, "__len__") or not len(values):
            raise InputError(
                "sweep", found=f"{name} = {values!r}", expected="a sequence of at least one value"
            )
        # Plain Python numbers: the same point whether the axis came as a list or as an array.
        axes[name] = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
    made = Grid(function, axes, fixed, repeats, int(seed))
    made.description()
    return made
