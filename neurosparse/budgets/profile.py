"""The profile: what was measured on a model, and its HDF5 file (docs/profile-format.md)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import FormatError, InputError, NeurosparseError
from neurosparse.files import write_whole

FORMAT = "neurosparse.profile"
VERSION = 1

# What h5py and NumPy raise for a file whose groups, types or bytes are not as they should be.
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError,
           OverflowError)


@dataclass
class Curves:
    """Local error curves: relative squared output error of each target by itself.

    Attributes
    ----------
    levels : array of shape (levels,)
        Rates.
    error : array of shape (targets, levels)
        ``|X (W_s - W)^T|^2 / |X W^T|^2`` on dense inputs X.
    method : str
        The pruning method that chose the masks.
    """

    levels: NDArray[np.float64]
    error: NDArray[np.float64]
    method: str


@dataclass
class Profile:
    """What was measured on one model, target by target.

    Attributes
    ----------
    names, sizes, block, roles, norms : length (targets,)
        Module path, parameters, index of the decoder block, last part of the path, Frobenius norm.
    curves
        Local error curves, where measured.
    depth : array of shape (blocks,)
        Relative squared error of the hidden state after each block, dense against sparse,
        where a pruned model was compared.
    model, calibration
        Identity of the model (name, sha256) and of the text (name, sha256, windows, length, seed).
    evidence
        ``evidence[rule][name]``: arrays that one rule needs.
    """

    names: list[str]
    sizes: NDArray[np.int64]
    block: NDArray[np.int64]
    roles: list[str]
    norms: NDArray[np.float64]
    curves: Curves | None = None
    depth: NDArray[np.float64] | None = None
    model: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, dict[str, NDArray[np.float64]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.sizes), len(self.block), len(self.roles),
                   len(self.norms)}
        if len(lengths) != 1 or not self.names:
            raise InputError("profile", found=f"columns of lengths {sorted(lengths)}",
                             expected="one length, at least 1")
        if not np.all(np.asarray(self.sizes) > 0):
            first = self.names[int(np.argmin(self.sizes))]
            raise InputError("profile", found=f"{int(np.min(self.sizes))} parameters for {first}",
                             expected="at least one for every target")
        if self.curves is not None:
            shape = (len(self.names), len(self.curves.levels))
            if self.curves.error.shape != shape:
                raise InputError("profile", found=f"curves of shape {self.curves.error.shape}",
                                 expected=f"{shape}")

    @property
    def sha256(self) -> str:
        """Hash of all that a budget is decided from, the same for equal profiles.

        Not of ``depth``, which is what the budget did and joins the same profile afterwards.
        """
        digest = self._digest()
        named = {f"evidence/{rule}/{name}": array for rule, arrays in self.evidence.items()
                 for name, array in arrays.items()}
        if self.curves is not None:
            named["curves"] = self.curves.error
        digest.update(json.dumps([[name, list(named[name].shape)] for name in sorted(named)]
                                 ).encode())
        return str(digest.hexdigest())

    @property
    def old_sha256(self) -> str:
        """Hash that budgets hold from before names and shapes of arrays were in it."""
        return str(self._digest().hexdigest())

    def _digest(self) -> Any:
        digest = hashlib.sha256()
        digest.update(json.dumps([self.names, self.roles, self.model, self.calibration],
                                 sort_keys=True).encode())
        arrays = [self.sizes, self.block, self.norms]
        if self.curves is not None:
            digest.update(self.curves.method.encode())
            arrays += [self.curves.levels, self.curves.error]
        for rule in sorted(self.evidence):
            arrays += [self.evidence[rule][name] for name in sorted(self.evidence[rule])]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest

    def write(self, path: str | Path) -> None:
        """Write the HDF5 file, whole or not at all; each group is complete or absent."""
        with write_whole(path) as beside, h5py.File(beside, "w") as file:
            file.attrs.update(format=FORMAT, version=VERSION, model=json.dumps(self.model),
                              calibration=json.dumps(self.calibration))
            targets = file.create_group("targets")
            text = h5py.string_dtype()
            targets.create_dataset("name", data=self.names, dtype=text)
            targets.create_dataset("role", data=self.roles, dtype=text)
            targets["size"], targets["block"] = self.sizes, self.block
            targets["norm"] = self.norms
            if self.curves is not None:
                group = file.create_group("curves")
                group.attrs["method"] = self.curves.method
                group["levels"], group["error"] = self.curves.levels, self.curves.error
            if self.depth is not None:
                file.create_group("depth")["relative_error"] = self.depth
            for rule, arrays in self.evidence.items():
                group = file.create_group(f"evidence/{rule}")
                for name, array in arrays.items():
                    group[name] = array

    @classmethod
    def read(cls, path: str | Path) -> Profile:
        """Read a profile file.

        Raises
        ------
        InputError
            No such file.
        FormatError
            Not a profile, damaged, or of an unknown version.
        """
        if not Path(path).is_file():
            raise InputError(f"read {path}", found="no such file", expected="a profile (HDF5)")
        try:
            with h5py.File(path, "r") as file:
                return cls._from(file, path)
        except NeurosparseError:
            raise
        except _DAMAGE as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise FormatError(f"read {path}", found=said,
                              expected="a profile of docs/profile-format.md") from error

    @classmethod
    def _from(cls, file: h5py.File, path: str | Path) -> Profile:
        found = (file.attrs.get("format"), int(file.attrs.get("version", -1)))
        if found != (FORMAT, VERSION):
            raise FormatError(f"read {path}", found=f"format and version {found}",
                              expected=f"{(FORMAT, VERSION)}")
        targets = file["targets"]
        curves = None
        if "curves" in file:
            group = file["curves"]
            curves = Curves(_array(group["levels"]), _array(group["error"]),
                            str(group.attrs["method"]))
        evidence = {rule: {name: _array(data) for name, data in group.items()}
                    for rule, group in file.get("evidence", {}).items()}
        return cls(
            names=list(targets["name"].asstr()[:]), sizes=_array(targets["size"], "iu"),
            block=_array(targets["block"], "iu"), roles=list(targets["role"].asstr()[:]),
            norms=_array(targets["norm"]), curves=curves,
            depth=_array(file["depth/relative_error"]) if "depth/relative_error" in file else None,
            model=_object(file, "model"), calibration=_object(file, "calibration"),
            evidence=evidence,
        )


def _array(data: Any, kinds: str = "iufb") -> Any:
    """The numbers of a dataset, of these kinds of NumPy's types."""
    found = data[:]
    if found.dtype.kind not in kinds:
        raise TypeError(f"{data.name} of type {found.dtype} and not of numbers"
                        if kinds == "iufb" else f"{data.name} of type {found.dtype}, no integers")
    return found


def _object(file: h5py.File, name: str) -> dict[str, Any]:
    found = json.loads(file.attrs[name])
    if not isinstance(found, dict):
        raise TypeError(f"attribute {name} is {found!r:.40}, no object")
    return found
