"""Trajectories in HDF5: streamed while they run, or saved afterwards.

Layout: ``/times`` [T], ``/states`` [T, N(, S)], ``/energy`` [T(, S)], optional ``/couplings``;
attributes ``format``, ``version``, ``status``, ``settings`` (JSON).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurosparse.dynamics.trajectory import Trajectory
from neurosparse.errors import FormatError, InputError
from neurosparse.files import write_whole

Array = NDArray[np.float64]

FORMAT = "neurosparse.trajectory"
VERSION = 1

# states wait in memory until they fill so many bytes
_BUFFER = 8 << 20


class Recorder:
    """Takes records one by one; keeps them in arrays, or writes them in blocks to an HDF5 file.

    Parameters
    ----------
    records
        How many will come at most.
    shape
        Of one state.
    energies
        Shape of one energy, or None to keep none.
    file
        Open HDF5 file, or None for memory.
    """

    def __init__(self, records: int, shape: tuple[int, ...], energies: tuple[int, ...] | None,
                 file: Any = None) -> None:
        bytes_each = 8 * int(np.prod(shape))
        self.block = min(records, max(1, _BUFFER // bytes_each)) if file is not None else records
        self.states = np.empty((self.block, *shape))
        self.energy = np.empty((records, *energies)) if energies is not None else np.empty(0)
        self.keeps_energy = energies is not None
        self.file = file
        self.count = self.written = 0
        if file is not None:
            rows = max(1, min(records, (1 << 20) // bytes_each))
            file.create_dataset("states", (records, *shape), dtype="f8", maxshape=(None, *shape),
                                chunks=(rows, *shape))

    def add(self, x: Array, energy: Any) -> None:
        """Take one record."""
        self.states[self.count - self.written] = x
        if self.keeps_energy:
            self.energy[self.count] = energy
        self.count += 1
        if self.file is not None and self.count - self.written == self.block:
            self._flush()

    def _flush(self) -> None:
        self.file["states"][self.written:self.count] = self.states[:self.count - self.written]
        self.written = self.count

    def finish(self) -> Any:
        """Cut to what came; return the states (array, or None when they are in the file)."""
        self.energy = self.energy[:self.count] if self.keeps_energy else self.energy
        if self.file is None:
            return self.states[:self.count]
        self._flush()
        self.file["states"].resize(self.count, axis=0)
        return None


def write_rest(file: Any, trajectory: Trajectory) -> None:
    """Write all but the states."""
    file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
    file.attrs["status"] = trajectory.status
    file.attrs["settings"] = json.dumps(trajectory.settings)
    file["times"], file["energy"] = trajectory.times, trajectory.energy
    if trajectory.couplings is not None:
        file["couplings"] = trajectory.couplings


def save_trajectory(trajectory: Trajectory, path: str | Path) -> Path:
    """Write a trajectory, whole or not at all; its states are copied in blocks."""
    target, source = Path(path), trajectory.states
    with write_whole(target) as beside, h5py.File(beside, "w") as file:
        shape = tuple(source.shape)
        recorder = Recorder(max(shape[0], 1), shape[1:], None, file)
        for start in range(0, shape[0], recorder.block):
            for row in np.asarray(source[start:start + recorder.block]):
                recorder.add(row, None)
        recorder.finish()
        write_rest(file, trajectory)
    return target


def open_trajectory(path: str | Path) -> Trajectory:
    """Open a trajectory file for reading; see :meth:`Trajectory.load`."""
    source = Path(path)
    operation = f"read {source}"
    if not source.is_file():
        raise InputError(operation, found="no such file", expected="a trajectory in HDF5")
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise FormatError(operation, found=str(error), expected="a trajectory in HDF5") from error
    found = (file.attrs.get("format"), file.attrs.get("version"))
    if found != (FORMAT, VERSION) or "states" not in file:
        file.close()
        raise FormatError(operation, found=f"format {found[0]!r} version {found[1]!r}",
                          expected=f"{FORMAT!r} version {VERSION}")
    return Trajectory(
        times=file["times"][()], states=file["states"], energy=file["energy"][()],
        status=str(file.attrs["status"]),  # type: ignore[arg-type]
        settings=json.loads(file.attrs["settings"]),
        couplings=file["couplings"][()] if "couplings" in file else None,
        path=source, _file=file)
