"""Figures for a paper's single column: width, type sizes, panel letters, measured points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neurosparse.errors import InputError
from neurosparse.report import theme

COLUMN = 3.4
"""Width in inches of one column of a two-column page (86 mm)."""

Array = NDArray[np.float64]

_SETTINGS = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.2,
}


@contextmanager
def settings() -> Iterator[None]:
    """The theme in the type sizes of a column."""
    with theme.settings(**_SETTINGS):
        yield


def letters(panels: Sequence[Axes], titles: Sequence[str]) -> None:
    """Title each panel; with several, an a, b, c goes before it."""
    for number, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        axes.set_title(f"{'abcdefgh'[number]}  {title}" if len(panels) > 1 else title)


def points(axes: Axes, x: ArrayLike, y: ArrayLike, error: ArrayLike | None, colour: str, *,
           gid: str, label: str | None = None, size: float = 3.2) -> None:
    """Measured values: open circles with error bars of one standard error where they are known."""
    axes.errorbar(x, y, yerr=None if error is None else np.nan_to_num(np.asarray(error, float)),
                  linestyle="none", marker="o", markersize=size, markerfacecolor="none",
                  markeredgewidth=0.9, color=colour, elinewidth=0.9, capsize=0, gid=gid,
                  label=label, zorder=3)


def key(axes: Axes, *, columns: int, handles: Sequence[Artist] | None = None) -> None:
    """A legend below the axis label, closer than the page's."""
    theme.legend_below(axes, columns=columns, points=26, handles=handles)


def series(operation: str, found: object, names: Sequence[str]) -> list[Array]:
    """Arrays of equal length out of a tuple, the last name optional; InputError otherwise.

    Parameters
    ----------
    operation
        Named in the error.
    found
        The user's tuple.
    names
        What its parts are, such as ``("lags", "values", "stderr")``.

    Raises
    ------
    InputError
        Not a tuple of that many arrays, or arrays of different lengths.
    """
    said = f"a tuple ({', '.join(names)}) of arrays of one length, the last optional"
    if not isinstance(found, (tuple, list)) or not len(names) - 1 <= len(found) <= len(names):
        raise InputError(operation, found=f"{type(found).__name__}", expected=said)
    arrays = [np.asarray(part, dtype=np.float64) for part in found]
    if any(part.ndim != 1 or part.shape != arrays[0].shape for part in arrays):
        raise InputError(operation, found=f"shapes {[part.shape for part in arrays]}",
                         expected=said)
    return arrays
