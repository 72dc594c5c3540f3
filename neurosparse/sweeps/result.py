"""What a sweep hands back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurosparse.errors import InputError
from neurosparse.sweeps.store import open_sweep


@dataclass(frozen=True)
class SweepResult:
    """Results of a sweep by grid index.

    Attributes
    ----------
    grid
        Name and values of each axis, in the order of the arrays' axes.
    repeats
        Runs of each point; the axis after those of the grid, always there.
    values
        ``values[name]`` is ``[*grid, repeats, *shape of one value]``; NaN where not done.
    done
        ``[*grid, repeats]`` bool.
    description
        Function, grid, fixed values, repeats and seed, as the file holds them.
    path
        The file, or None where the results were kept in memory.
    """

    grid: dict[str, tuple[Any, ...]]
    repeats: int
    values: dict[str, np.ndarray]
    done: np.ndarray
    description: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether every point is done."""
        return bool(self.done.all())

    def _named(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise InputError(
                "sweep result", found=f"name {name!r}", expected=f"one of {sorted(self.values)}"
            )
        return self.values[name]

    def mean(self, name: str) -> np.ndarray:
        """Mean over the repeats, ``[*grid, *shape]``; NaN where one of them is not done."""
        return np.asarray(self._named(name).mean(axis=len(self.grid)))

    def stderr(self, name: str) -> np.ndarray:
        """Standard error of that mean, ``[*grid, *shape]``; NaN for a single repeat."""
        values = self._named(name)
        if self.repeats < 2:
            return np.full_like(self.mean(name), np.nan, dtype=np.float64)
        return np.asarray(values.std(axis=len(self.grid), ddof=1) / np.sqrt(self.repeats))

    @classmethod
    def load(cls, path: str | Path) -> SweepResult:
        """Read the file of a sweep, finished or not.

        Raises
        ------
        InputError
            No such file.
        FormatError
            It is not the file of a sweep.
        """
        source = Path(path)
        with open_sweep(source) as file:
            description = json.loads(file.attrs["description"])
            return cls(
                grid={name: tuple(values) for name, values in description["grid"]},
                repeats=description["repeats"],
                values={name: dataset[...] for name, dataset in file["results"].items()},
                done=file["done"][...].astype(bool),
                description=description,
                path=source,
            )
