"""Read the user's own couplings: NumPy's .npy and .npz, and SciPy's sparse .npz; never pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from neurosparse.errors import FormatError, InputError

_KIND = "one matrix [N, N] in a .npy or .npz file, dense or from scipy.sparse.save_npz"


def read_couplings(path: str | Path) -> Any:
    """The matrix in a file, dense or ``csr_array``; not yet checked.

    Raises
    ------
    InputError
        There is no such file.
    FormatError
        It is no matrix, holds several arrays, or holds Python objects.
    """
    source = Path(path)
    operation = f"read {source}"
    if not source.is_file():
        raise InputError(operation, found="no such file", expected=_KIND)
    try:
        if not _is_zip(source):
            return np.load(source, allow_pickle=False)
        with np.load(source, allow_pickle=False) as found:
            if {"format", "shape", "data"} <= set(found):
                return _sparse(source)
            if len(found) == 1:
                return next(iter(found.values()))
            names = ", ".join(sorted(found)[:8])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FormatError(operation, found=str(error) or "a torn file", expected=_KIND) from error
    raise FormatError(operation, found=f"arrays {names or '(none)'}", expected=_KIND)


def _is_zip(source: Path) -> bool:
    with source.open("rb") as handle:
        return handle.read(2) == b"PK"


def _sparse(source: Path) -> Any:
    from scipy import sparse

    return sparse.csr_array(sparse.load_npz(source))
