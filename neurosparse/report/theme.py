"""Colours and matplotlib settings of the report: one palette, readable with any colour vision.

A colour has a name, a value on a light page and a value on a dark one. Figures are drawn with the
light value; the page turns it into ``var(--name)``, so that one SVG serves both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

WIDE = 10.2
"""Width in inches of a figure for a window of 700 pixels and more."""
NARROW = 4.0
"""Width in inches of a figure for a telephone."""

# Text, lines and surfaces: name -> (light, dark).
_INK = {
    "ink": ("#1d2329", "#e7eaed"),
    "soft": ("#59636e", "#a3adb8"),
    "rule": ("#dfe3e7", "#343b43"),
    "surface": ("#ffffff", "#1a1f24"),
    "strong": ("#0b5cad", "#6cb2f5"),
    "warm": ("#c24a00", "#ff9a5c"),
    "faint": ("#c3ccd5", "#4a545f"),
}
# Kinds (roles of linears). Any two are at least 20 apart in CIELAB in protan, deutan, tritan and
# usual vision (tests/report/test_report_theme.py measures it), and every one has its own marker.
_SERIES = (
    ("#0f3e8f", "#526be4"),
    ("#b74a00", "#e89b42"),
    ("#00b56d", "#28b379"),
    ("#964666", "#b16ab4"),
    ("#c6a200", "#ffdf29"),
    ("#477ce5", "#9cf9ff"),
    ("#531115", "#bc4330"),
    ("#827eb1", "#d9f9ca"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STEPS = 24
"""Shades of the ordered scale (blocks, first to last)."""


def _ordered() -> dict[str, tuple[str, str]]:
    """Viridis without the end that vanishes: no yellow on white, no deep violet on black."""
    scale = colormaps["viridis"]
    shades = {}
    for step in range(STEPS):
        at = step / (STEPS - 1)
        shades[f"o{step}"] = (to_hex(scale(0.02 + 0.80 * at)), to_hex(scale(0.32 + 0.66 * at)))
    return shades


COLOURS: dict[str, tuple[str, str]] = {
    **_INK,
    **{f"s{number}": pair for number, pair in enumerate(_SERIES)},
    **_ordered(),
}


def light(name: str) -> str:
    """The colour ``name`` on a light page, as ``#rrggbb``."""
    return COLOURS[name][0]


def series(number: int) -> tuple[str, str]:
    """Colour and marker of series ``number``; they repeat with period 8 and a shifted marker."""
    turn, place = divmod(number, len(_SERIES))
    return light(f"s{place}"), MARKERS[(place + turn) % len(MARKERS)]


def ordered(position: int, count: int) -> str:
    """Colour of element ``position`` of ``count`` on the ordered scale."""
    step = 0 if count < 2 else round(position / (count - 1) * (STEPS - 1))
    return light(f"o{step}")


_SETTINGS = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    # Names come from files; "$" in one must not start mathematics.
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "none",
    "text.color": _INK["ink"][0],
    "axes.labelcolor": _INK["soft"][0],
    "axes.edgecolor": _INK["faint"][0],
    "axes.titlecolor": _INK["ink"][0],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": _INK["faint"][0],
    "ytick.color": _INK["faint"][0],
    "xtick.labelcolor": _INK["soft"][0],
    "ytick.labelcolor": _INK["soft"][0],
    "grid.color": _INK["rule"][0],
}


@contextmanager
def settings(**more: object) -> Iterator[None]:
    """Matplotlib's own defaults plus the report's, whatever the user's matplotlibrc says.

    The global settings are as before when the block ends; the backend is never touched.
    """
    chosen: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    chosen.pop("backend", None)
    chosen.update(_SETTINGS)
    chosen.update(more)
    with matplotlib.rc_context(chosen):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) that lays itself out; it belongs to no window system."""
    return Figure(figsize=(width, height), layout="constrained")


def tidy(axes: Axes, *, grid: str = "y") -> None:
    """Leave only the lines that help reading: two spines and a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis=grid, linewidth=0.8)  # type: ignore[arg-type]
    axes.tick_params(which="major", length=3)
    axes.tick_params(which="minor", length=0)


def legend_below(axes: Axes, *, columns: int, points: float = 32,
                 handles: Sequence[Artist] | None = None) -> None:
    """A legend below the axis label, as far below the axes in points on every figure.

    With ``handles`` of these, whether they are drawn in the axes or not.
    """
    figure = axes.get_figure()
    assert figure is not None
    shifted = axes.transAxes + ScaledTranslation(0, -points / 72, figure.dpi_scale_trans)
    if handles is None:
        handles = axes.get_legend_handles_labels()[0]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0),
                bbox_transform=shifted, ncols=columns, frameon=False, handlelength=1.8,
                columnspacing=1.4, borderaxespad=0.0)
