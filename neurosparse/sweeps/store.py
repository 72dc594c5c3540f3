"""The file of a sweep: one writer, results by grid index, what is done marked as done.

Layout (HDF5): attributes ``format``, ``version``, ``fingerprint``, ``description`` (JSON);
``/done`` [*grid, repeats] of 0 and 1; ``/results/<name>`` [*grid, repeats, *value], NaN where not
done. The file appears whole with the first result, all datasets at full size; every later write
fills numbers in place and changes no metadata, so a killed program leaves a readable file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurosparse.errors import FormatError, InputError, ResumeError
from neurosparse.files import translated_errors, write_whole
from neurosparse.sweeps.grid import Grid

FORMAT = "neurosparse.sweep"
VERSION = 1


def numbers(result: Any, point: str) -> dict[str, np.ndarray]:
    """What a function returned, as float64 or complex128 arrays.

    Real numbers of every kind become float64: the first result must not decide that later ones
    are integers.
    """
    if not isinstance(result, dict) or not result:
        raise InputError(
            "sweep", found=f"a result {result!r} at {point}",
            expected="a dict of names to numbers or arrays",
        )
    arrays = {}
    for name, value in result.items():
        array = np.asarray(value)
        if array.dtype.kind not in "biufc" or not isinstance(name, str) or "/" in name:
            raise InputError(
                "sweep", found=f"result {name!r} of type {type(value).__name__} at {point}",
                expected="a name without '/' and a number or an array of numbers",
            )
        arrays[name] = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    return arrays


def open_sweep(path: Path) -> h5py.File:
    """Open a sweep's file for reading.

    Raises
    ------
    InputError
        No such file.
    FormatError
        It is not the file of a sweep.
    """
    return _open(path, "r")


def _open(path: Path, mode: str) -> h5py.File:
    if not path.is_file():
        raise InputError(f"read {path}", found="no such file", expected="the file of a sweep")
    try:
        file = h5py.File(path, mode)
    except BlockingIOError as error:
        raise ResumeError(
            f"open {path}", found="a file that another program has open",
            expected="one writer at a time", mend="Wait for it, or use another file.",
        ) from error
    except OSError as error:
        with translated_errors(path):
            if isinstance(error, PermissionError):
                raise
        raise FormatError(f"read {path}", found=str(error), expected="an HDF5 file") from error
    found = (file.attrs.get("format"), int(file.attrs.get("version", 0)))
    if found != (FORMAT, VERSION):
        file.close()
        raise FormatError(
            f"read {path}", found=f"format {found[0]!r}, version {found[1]}",
            expected=f"{FORMAT!r}, version {VERSION}",
        )
    return file


class Store:
    """The one writer of a sweep's file; ``path`` None keeps the results in memory."""

    def __init__(self, grid: Grid, path: Path | None, *, resume: bool) -> None:
        self.grid = grid
        self.path = path
        self.file: h5py.File | None = None
        self.done = np.zeros(grid.shape, dtype=bool)
        if path is not None and resume and path.exists():
            self.file = self._reopen(path)
            self.done = self.file["done"][...].astype(bool)

    def _reopen(self, path: Path) -> h5py.File:
        file = _open(path, "r+")
        if file.attrs["fingerprint"] == self.grid.fingerprint():
            return file
        theirs = json.loads(file.attrs["description"])
        ours = json.loads(json.dumps(self.grid.description()))
        names = [key for key in ours if ours[key] != theirs.get(key)]
        if not names:  # 1 in place of 1.0
            return file
        file.close()
        raise ResumeError(
            f"resume the sweep of {path}", found=f"a file with another {', '.join(names)}",
            expected="the same function, grid, fixed values, repeats and seed",
            mend="Choose another file, or resume=False to write it anew.",
        )

    def _create(self, file: h5py.File, result: dict[str, np.ndarray]) -> None:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["fingerprint"] = self.grid.fingerprint()
        file.attrs["description"] = json.dumps(self.grid.description())
        file.create_dataset("done", data=self.done.astype(np.uint8))
        for name in sorted(result):
            value = result[name]
            shape = (*self.grid.shape, *value.shape)
            dataset = file.create_dataset(f"results/{name}", shape, value.dtype, fillvalue=np.nan)
            # HDF5 takes the room of a contiguous dataset at its first write; take it now, so that
            # no later write moves metadata.
            dataset[(0,) * len(self.grid.shape)] = np.full(value.shape, np.nan, value.dtype)

    def _begin(self, result: dict[str, np.ndarray]) -> h5py.File:
        if self.path is None:
            file = h5py.File("sweep", "w", driver="core", backing_store=False)
            self._create(file, result)
            return file
        with write_whole(self.path) as beside, h5py.File(beside, "w") as made:
            self._create(made, result)
        return _open(self.path, "r+")

    def write(self, number: int, returned: Any) -> None:
        """Write the result of one point and flush.

        Raises
        ------
        InputError
            Names, shapes or kinds differ from those of the points before.
        StorageError
            The disk is full.
        """
        index = self.grid.index(number)
        point = f"point {self.grid.point(number)}"
        result = numbers(returned, point)
        if self.file is None:
            self.file = self._begin(result)
        results = self.file["results"]
        depth = len(index)
        known = {name: (set_.shape[depth:], set_.dtype) for name, set_ in results.items()}
        found = {name: (value.shape, value.dtype) for name, value in sorted(result.items())}
        if found != known:
            raise InputError(
                "sweep", found=f"results {_shapes(found)} at {point}",
                expected=f"{_shapes(known)}, as at the points before",
            )
        with translated_errors(self.path or Path("sweep")):
            for name, value in result.items():
                results[name][index] = value
            # The mark comes after the numbers that it vouches for.
            self.file.flush()
            self.file["done"][index] = 1
            self.file.flush()
        self.done[index] = True

    def values(self) -> dict[str, np.ndarray]:
        """All results so far."""
        if self.file is None:
            return {}
        return {name: dataset[...] for name, dataset in self.file["results"].items()}

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None


def _shapes(parts: dict[str, tuple[tuple[int, ...], Any]]) -> str:
    return ", ".join(f"{name}: {kind}{list(shape)}" for name, (shape, kind) in parts.items())
