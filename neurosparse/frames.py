"""Frames of tangent vectors: linear combinations and row scaling in one pass.

A frame is a float64 or float32 array [N, k] in Fortran order: a column is a vector. All levels and
the NumPy twin give the same bits (no fused multiply-add, one order of additions).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import kernels
from neurosparse.errors import InputError

with contextlib.suppress(ImportError):  # without it the twin does everything
    from neurosparse import _core

__all__ = ["combine"]

Frame = NDArray[np.floating[Any]]
MOST_SOURCES = 8


def combine(
    sources: Sequence[Frame],
    outputs: Sequence[tuple[Frame, Sequence[float]]],
    *,
    scale: NDArray[np.floating[Any]] | None = None,
    scaled: Frame | None = None,
    scaled_from: int = -1,
) -> None:
    """Write linear combinations of frames, and one of them with its rows scaled.

    Parameters
    ----------
    sources
        1 to 8 frames [N, k] of one type, Fortran order.
    outputs
        At most 2 pairs of a frame to write and one weight a source. An output may be a source.
    scale, scaled
        ``scaled[i, j] = scale[i] * s[i, j]``; ``scale`` is [N], of the frames' type.
    scaled_from
        What s is: the index of a source as it was before the call, or -1 for the first output.

    Raises
    ------
    InputError
        Shapes, types or orders differ.
    """
    if kernels.level() == "twin":
        _twin(sources, outputs, scale, scaled, scaled_from)
        return
    code = _core.combine(
        list(sources), [list(weights) for _, weights in outputs], [frame for frame, _ in outputs],
        scale, scaled, scaled_from,
    )  # fmt: skip
    if code:
        raise InputError(
            "combine frames",
            found=f"frames of {[frame.shape for frame in sources]} ({_core.strerror(code)})",
            expected="1 to 8 frames of one shape and type in Fortran order",
        )  # fmt: skip


def _twin(
    sources: Sequence[Frame],
    outputs: Sequence[tuple[Frame, Sequence[float]]],
    scale: NDArray[np.floating[Any]] | None,
    scaled: Frame | None,
    scaled_from: int,
) -> None:
    kind = sources[0].dtype.type
    sums = []
    for _, weights in outputs:
        total = kind(weights[0]) * sources[0]
        for weight, source in zip(weights[1:], sources[1:], strict=True):
            if weight != 0:
                total += kind(weight) * source
        sums.append(total)
    if scaled is not None:
        assert scale is not None
        scaled[...] = scale[:, None] * (sums[0] if scaled_from < 0 else sources[scaled_from])
    for (frame, _), total in zip(outputs, sums, strict=True):
        frame[...] = total
