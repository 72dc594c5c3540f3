"""A logarithmic axis of errors with labels that any font sets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from neurosparse.report.numbers import power_of_ten


def log_axis(axes: Axes, values: Sequence[ArrayLike]) -> None:
    """Make y logarithmic for the positive values; zeros are left out. No positive value: linear.

    Ticks are decades, and 2 and 5 within them where the values span less than two.
    """
    flat = np.concatenate([np.ravel(np.asarray(value, float)) for value in values])
    positive = flat[np.isfinite(flat) & (flat > 0)]
    if not positive.size:
        return
    low, high = float(positive.min()), float(positive.max())
    axes.set_yscale("log", nonpositive="mask")
    axes.set_ylim(low / 1.35, high * 1.35)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    steps = (1, 2, 5) if span < 2 else (1,)
    # Many decades: every second or third of them, so that labels do not touch.
    every = max(1, math.ceil(span / 7))
    ticks = [step * 10.0**decade for decade in decades for step in steps if decade % every == 0]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def tick_label(value: float) -> str:
    """``0.05`` near one, ``10⁻⁵`` or ``2·10⁻⁵`` far from it."""
    if 0.00099 < value < 10_000:
        return f"{value:.4g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = round(value / 10.0**exponent)
    return power_of_ten(exponent) if mantissa == 1 else f"{mantissa}·{power_of_ten(exponent)}"
