"""What a run leaves: times, states, energy and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RunStatus = Literal["finished", "diverged"]


@dataclass
class Trajectory:
    """States of a network at recorded times.

    Attributes
    ----------
    times
        [T], in the flow's unit (steps for a map); the transient counts.
    states
        [T, N] (or [T, N, S] for S states at once): an array, or an open HDF5 dataset that reads
        like one, when the run was streamed to a file.
    energy
        Kinetic energy |f|²/2 at each record, [T] or [T, S]; empty if it was not asked for.
    status
        ``"finished"``, or ``"diverged"``: then the records end before the state left the finite
        range.
    settings
        What made it: method, dt, seed, γ and so on.
    couplings
        The couplings at the end [N, N] where they are plastic, else None.
    path
        The file behind ``states``, if any.
    """

    times: Array
    states: Any
    energy: Array
    status: RunStatus
    settings: dict[str, Any] = field(default_factory=dict)
    couplings: Array | None = None
    path: Path | None = None
    _file: Any = field(default=None, repr=False)

    @property
    def final(self) -> Array:
        """The last recorded state [N] or [N, S]."""
        return np.array(self.states[-1])

    def save(self, path: str | Path) -> Path:
        """Write to HDF5, whole or not at all.

        Raises
        ------
        StorageError
            The disk is full or the folder cannot be written.
        """
        from neurosparse.dynamics.trajectory_file import save_trajectory

        return save_trajectory(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Open a saved trajectory; states stay in the file until they are read.

        Raises
        ------
        InputError
            No such file.
        FormatError
            Not a trajectory, or of another version.
        """
        from neurosparse.dynamics.trajectory_file import open_trajectory

        return open_trajectory(path)

    def close(self) -> None:
        """Close the file behind ``states``, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Trajectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
