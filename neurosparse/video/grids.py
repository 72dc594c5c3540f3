"""Rectangles of tokens that fit a count."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from neurosparse.errors import InputError

Grid = tuple[int, int]

# A stretch of two costs a sixth of the area: 12 x 13 is better than 9 x 18, 2 x 2 than 1 x 5, and
# 1 x 2 than 1 x 1.
_STRETCH_COST = 0.25


@lru_cache(maxsize=65536)
def best_grid(tokens: int, full: Grid) -> Grid:
    """The rectangle of at most ``tokens`` tokens that serves a picture best.

    Greatest ``area / stretch ** 0.25``, where the stretch (>= 1) is how far the shape is from
    that of the full grid. The area lost is at most about ``2 sqrt(tokens)``.

    Parameters
    ----------
    tokens
        1 or more.
    full
        Height and width of the grid there is; no side of the rectangle is longer.

    Raises
    ------
    InputError
        Fewer than one token, or an empty grid.
    """
    height, width = full
    if tokens < 1 or height < 1 or width < 1:
        raise InputError("fit a grid", found=f"{tokens} tokens in {height} x {width}",
                         expected="one token or more, and a grid")
    best, worth = (1, 1), -1.0
    for rows in range(1, min(height, tokens) + 1):
        columns = min(width, tokens // rows)
        shape = rows * width / (columns * height)
        value = rows * columns / max(shape, 1 / shape) ** _STRETCH_COST
        if value > worth:
            best, worth = (rows, columns), value
    return best


def fit_grids(
    tokens: ArrayLike, full: Sequence[Grid], order: ArrayLike | None = None
) -> list[Grid | None]:
    """A rectangle for every frame; what one cannot use goes on to the next.

    Parameters
    ----------
    tokens
        Tokens of each frame, shape (frames,); frames with none get no grid.
    full
        The grid that each frame has.
    order
        Frames from first served to last: ascending scores, so that the remainder goes to frames
        that matter more. The order given where None.

    Returns
    -------
    list of (height, width) or None
        The areas add up to no more than the tokens; what is left at the end is offered to all
        frames once more, from the last served to the first.

    Raises
    ------
    InputError
        Lengths differ.
    """
    counts = np.asarray(tokens, np.int64)
    if len(counts) != len(full):
        raise InputError("fit grids", found=f"{len(counts)} counts and {len(full)} grids",
                         expected="one grid a frame")
    served = range(len(counts)) if order is None else np.asarray(order, np.int64).tolist()
    grids: list[Grid | None] = [None] * len(counts)
    rest = 0
    for i in served:
        if counts[i] > 0:
            have = int(counts[i]) + rest
            grid = best_grid(have, full[i])
            grids[i], rest = grid, have - grid[0] * grid[1]
    for i in reversed(served):
        now = grids[i]
        if now is not None and rest:
            area = now[0] * now[1]
            grid = best_grid(area + rest, full[i])
            if grid[0] * grid[1] > area:
                grids[i], rest = grid, area + rest - grid[0] * grid[1]
    return grids
