"""What the kernels ask of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError


def check_array(
    operation: str, name: str, a: NDArray[Any], dims: int, dtype: Any,
    shape: tuple[int, ...] | None = None,
) -> None:
    """Refuse an array of another type, number of dimensions or shape, or not C-contiguous.

    Raises
    ------
    InputError
        It names the operation and the array.
    """
    wanted = f"{np.dtype(dtype).name}, {dims} dimensions"
    if a.dtype != dtype or a.ndim != dims:
        found = f"{name} {a.dtype.name}{list(a.shape)}"
        raise InputError(operation, found=found, expected=wanted)
    if not a.flags.c_contiguous or not a.flags.aligned:
        found = f"{name} that is not contiguous and aligned"
        raise InputError(operation, found=found, expected="a C-contiguous array")
    if shape is not None and a.shape != shape:
        found = f"{name} of shape {list(a.shape)}"
        raise InputError(operation, found=found, expected=f"{list(shape)}")
