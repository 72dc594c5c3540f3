"""Spectra on disk: HDF5, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosparse._version import __version__
from neurosparse.errors import FormatError, InputError
from neurosparse.files import write_whole
from neurosparse.lyapunov.blocklog import BlockLog
from neurosparse.lyapunov.running import Status

if TYPE_CHECKING:
    from neurosparse.lyapunov.result import Spectrum

FORMAT = "neurosparse.spectrum"
VERSION = 1
_SCALARS = ("size", "duration", "transient", "warmup", "unit", "interval", "base_time")


def save(spectrum: Spectrum, path: str | Path) -> None:
    """Write a spectrum: results at the top, what is needed to go on in ``log`` and ``state``.

    Raises
    ------
    StorageError
        The disk is full or the folder cannot be written.
    """
    import h5py

    log = spectrum.log
    with write_whole(path) as beside, h5py.File(beside, "w") as file:
        file.attrs.update(format=FORMAT, version=VERSION, neurosparse=__version__)
        file.attrs.update(status=spectrum.status.value, settings=json.dumps(spectrum.settings))
        file.attrs.update({name: getattr(spectrum, name) for name in _SCALARS})
        if spectrum.volume is not None:
            file.attrs["volume"] = spectrum.volume
        for name in ("exponents", "stderr", "effective_samples"):
            file[name] = getattr(spectrum, name)
        file["log/rows"], file["log/rest"], file["log/total"] = log.rows, log.rest, log.total
        file["log"].attrs.update(merged=log.merged, rested=log.rested, count=log.count)
        file["frame"] = spectrum.frame
        state = file.create_group("state")
        for name, value in spectrum.state.items():
            state[name] = value
        if spectrum.covariant is not None:
            spectrum.covariant.write(file.create_group("covariant"))


def load(path: str | Path) -> Spectrum:
    """Read a spectrum.

    Raises
    ------
    InputError
        There is no such file.
    FormatError
        It is not a spectrum, or of an unknown version.
    """
    import h5py

    if not Path(path).is_file():
        raise InputError(f"read {path}", found="no such file", expected="a spectrum in HDF5")
    try:
        with h5py.File(path, "r") as file:
            found = (file.attrs.get("format"), file.attrs.get("version"))
            if found != (FORMAT, VERSION):
                raise FormatError(
                    f"read {path}", found=f"{found}", expected=f"{(FORMAT, VERSION)}"
                )
            return _read(file)
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"read {path}", found=str(error), expected="a spectrum") from error


def _read(file: Any) -> Spectrum:
    from neurosparse.lyapunov.covariant import CovariantVectors
    from neurosparse.lyapunov.result import Spectrum

    log = file["log"]
    scalars = {name: float(file.attrs[name]) for name in _SCALARS if name != "size"}
    return Spectrum(
        status=Status(file.attrs["status"]),
        size=int(file.attrs["size"]),
        settings=json.loads(file.attrs["settings"]),
        volume=float(file.attrs["volume"]) if "volume" in file.attrs else None,
        log=BlockLog.rebuild(
            log["rows"][:], int(log.attrs["merged"]), log["rest"][:], int(log.attrs["rested"]),
            log["total"][:], int(log.attrs["count"]),
        ),
        frame=np.asfortranarray(file["frame"][:]),
        state={name: _value(item) for name, item in file["state"].items()},
        covariant=CovariantVectors.read(file["covariant"]) if "covariant" in file else None,
        **scalars,
    )  # fmt: skip


def _value(item: Any) -> Any:
    if item.shape:
        return item[:]
    value = item[()]
    return value.decode() if isinstance(value, bytes) else float(value)
