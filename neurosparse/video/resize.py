"""Frames resized to their tokens: many frames of different grids in one call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from neurosparse.errors import InputError
from neurosparse.video.grids import Grid
from neurosparse.video.merge import merge_rows_and_columns, merge_tokens

Resizer = Literal["bilinear", "average", "strided", "merge", "rows-columns"]


def _bilinear(grid: Tensor, height: int, width: int) -> Tensor:
    planes = grid.permute(0, 3, 1, 2).contiguous()
    return functional.interpolate(planes, size=(height, width), mode="bilinear").permute(0, 2, 3, 1)


def _average(grid: Tensor, height: int, width: int) -> Tensor:
    planes = grid.permute(0, 3, 1, 2).contiguous()
    return functional.adaptive_avg_pool2d(planes, (height, width)).permute(0, 2, 3, 1)


_RECTANGLES: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "bilinear": _bilinear, "average": _average, "rows-columns": merge_rows_and_columns,
}


def _strided(tokens: Tensor, count: int) -> Tensor:
    length = tokens.shape[1]
    # The middles of `count` equal stretches: increasing, and all tokens where count == length.
    places = ((2 * torch.arange(count) + 1) * length) // (2 * count)
    return tokens[:, places.to(tokens.device)]


def _merge(tokens: Tensor, count: int) -> Tensor:
    return merge_tokens(tokens, count)[0]


_COUNTS: dict[str, Callable[[Tensor, int], Tensor]] = {"strided": _strided, "merge": _merge}
RESIZERS = (*_RECTANGLES, *_COUNTS)


def makes_rectangles(method: str) -> bool:
    """Whether the resizer gives rectangles (and needs grids) or a row of tokens (and counts).

    Raises
    ------
    InputError
        No such resizer.
    """
    if method not in RESIZERS:
        raise InputError("resize tokens", found=f"method={method!r}",
                         expected=", ".join(sorted(RESIZERS)))
    return method in _RECTANGLES


def resize_tokens(
    features: Tensor | Sequence[Tensor], sizes: Sequence[Grid] | Sequence[int], *,
    method: Resizer = "bilinear",
) -> list[Tensor]:
    """Resize every frame to its own grid or its own number of tokens.

    Frames that go from one shape to another shape are resized together, so that a ragged batch
    costs as many operations as there are different shapes in it.

    Parameters
    ----------
    features
        One tensor of shape (frames, rows, columns, width), or one of (rows, columns, width) a
        frame. Any device and floating type.
    sizes
        A grid a frame for the resizers that make rectangles: ``"bilinear"`` (the paper's v1),
        ``"average"`` (v2, adaptive average pooling), ``"rows-columns"`` (v5). A number of tokens
        a frame for ``"strided"`` (v3) and ``"merge"`` (v4, ToMe).
    method
        The resizer. A frame that keeps its size is returned as it is, bit for bit.

    Returns
    -------
    list of Tensor
        Of shape (height, width, features), or (tokens, features).

    Raises
    ------
    InputError
        An unknown resizer, sizes of the wrong kind or number, or more than a frame holds.

    References
    ----------
    QuoTA (arXiv 2503.08689), token compression; Token Merging (arXiv 2210.09461).
    """
    rectangles = makes_rectangles(method)
    frames = list(features)
    if len(frames) != len(sizes):
        raise InputError("resize tokens", found=f"{len(frames)} frames and {len(sizes)} sizes",
                         expected="one size a frame")
    groups: dict[tuple[int, int, Grid | int], list[int]] = defaultdict(list)
    wanted: list[Grid | int] = list(sizes)
    for i, (frame, size) in enumerate(zip(frames, wanted, strict=True)):
        _check(frame, size, rectangles, method)
        groups[frame.shape[0], frame.shape[1], size].append(i)
    out: list[Tensor] = [torch.empty(0)] * len(frames)
    for (rows, columns, size), members in groups.items():
        stack = torch.stack([frames[i] for i in members])
        if size in ((rows, columns), rows * columns):
            resized = stack if rectangles else stack.flatten(1, 2)
        elif isinstance(size, tuple):
            resized = _RECTANGLES[method](stack, *size)
        else:
            resized = _COUNTS[method](stack.flatten(1, 2), size)
        for i, one in zip(members, resized, strict=True):
            out[i] = one
    return out


def _check(frame: Tensor, size: Grid | int, rectangles: bool, method: str) -> None:
    wanted = "a grid (height, width)" if rectangles else "a number of tokens"
    if frame.ndim != 3 or isinstance(size, tuple) != rectangles:
        raise InputError(f"resize tokens by {method}",
                         found=f"a frame of shape {tuple(frame.shape)} to {size!r}",
                         expected=f"(rows, columns, width) to {wanted}")
    if isinstance(size, tuple):
        fits = 1 <= size[0] <= frame.shape[0] and 1 <= size[1] <= frame.shape[1]
    else:
        fits = 1 <= size <= frame.shape[0] * frame.shape[1]
    if not fits:
        raise InputError(f"resize tokens by {method}",
                         found=f"{size} from a grid of {tuple(frame.shape[:2])}",
                         expected="one token or more, and no more than there are")
