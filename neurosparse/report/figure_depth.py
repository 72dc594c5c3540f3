"""Figure: how the error grows, or is absorbed, on its way through the blocks."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurosparse.budgets import Profile
from neurosparse.errors import InputError
from neurosparse.report import theme
from neurosparse.report.log_axis import log_axis
from neurosparse.report.numbers import significant


def depth(profile: Profile, *, width: float = theme.WIDE) -> Figure:
    """Draw the relative squared error of the hidden state after each block, dense against sparse.

    Raises
    ------
    InputError
        The profile has no depth errors: no pruned model was compared.
    """
    error = depth_errors(profile)
    with theme.settings():
        figure = theme.new_figure(width, 3.3 if width >= 7 else 3.0)
        axes = figure.subplots()
        blocks = np.arange(len(error))
        colour = theme.light("strong")
        axes.plot(blocks, error, color=colour, marker="o", markersize=4, linewidth=1.6,
                  markeredgewidth=0, gid="error")
        theme.tidy(axes)
        axes.set_xlabel("after block")
        axes.set_title("Relative squared error of the hidden state")
        log_axis(axes, [error])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(-0.6, len(error) - 1 + max(0.6, 0.09 * len(error)))
        axes.annotate(significant(float(error[-1])), (blocks[-1], error[-1]), xytext=(7, 0),
                      textcoords="offset points", va="center", color=colour, fontweight="bold")
    return figure


def depth_errors(profile: Profile) -> NDArray[np.float64]:
    """What the figure draws, array of shape (blocks,).

    Raises
    ------
    InputError
        The profile has no depth errors.
    """
    if profile.depth is None:
        raise InputError("draw the error through depth", found="a profile without depth errors",
                         expected="one with /depth/relative_error")
    return profile.depth


def describe_depth(profile: Profile) -> str:
    """One or two sentences that say what the figure shows."""
    error = depth_errors(profile)
    if not np.any(error > 0):
        return ("The hidden states of the sparse model equal the dense ones after all "
                f"{len(error)} blocks.")
    worst = int(np.nanargmax(error))
    text = (f"After block 0 the sparse hidden state differs from the dense one by "
            f"{significant(float(error[0]))} of its energy, after block {len(error) - 1} by "
            f"{significant(float(error[-1]))}.")
    if worst != len(error) - 1:
        text += f" It is worst after block {worst}, at {significant(float(error[worst]))}."
    return text
