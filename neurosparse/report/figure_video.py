"""Figure: the frames of a video, how they were scored for a question, and what they were given."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.report import theme

Facts = Mapping[str, Any]
Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]


def video(facts: Facts, pictures: Sequence[Picture] | None = None, *,
          width: float = theme.WIDE) -> Figure:
    """Draw the frames that got most tokens, the scores of all, and the tokens of all.

    Parameters
    ----------
    facts
        What ``answer.json`` of ``neurosparse video`` holds.
    pictures
        RGB arrays of shape (height, width, 3), one a frame; without them the strip of frames is
        left out.
    width
        Inches.

    Raises
    ------
    InputError
        No frame, or not one picture a frame.
    """
    times = np.asarray(facts["frames"]["times"], float)
    if not len(times) or (pictures is not None and len(pictures) != len(times)):
        raise InputError("draw the answer", found=f"{len(times)} frames and "
                         f"{'no' if pictures is None else len(pictures)} pictures",
                         expected="one frame or more, and a picture for each")
    narrow = width < 7
    with theme.settings():
        chosen = strip_units(facts, 4 if narrow else 8) if pictures is not None else []
        tall = _strip_height(pictures, width, len(chosen)) if pictures is not None else 0.0
        figure = theme.new_figure(width, 3.9 + tall)
        _title(figure, facts, 42 if narrow else 105)
        below: Any = figure
        if chosen and pictures is not None:
            above, below = figure.subfigures(2, 1, height_ratios=[tall, 3.3], squeeze=False).flat
            _strip(above, facts, pictures, chosen)
        scores, tokens = below.subplots(2, 1, sharex=True)
        _scores(scores, facts, chosen, "\n" if narrow else " ")
        _tokens(tokens, facts, chosen, "\n" if narrow else " ")
    return figure


def strip_units(facts: Facts, most: int) -> list[int]:
    """Numbers of the units with most tokens, in the order of time; none that was dropped.

    Among units of as many tokens those of higher score; where all are alike, spread over time.
    """
    tokens, together = np.asarray(facts["units"]["tokens"]), int(facts["units"]["frames"])
    scores = np.nan_to_num(_numbers(facts["frames"]["scores"]), nan=-np.inf)
    best_of = np.array([scores[unit * together : (unit + 1) * together].max()
                        for unit in range(len(tokens))])
    kept = np.flatnonzero(tokens)
    if np.ptp(tokens[kept]) == 0 and np.all(best_of[kept] == best_of[kept[0]]):
        places = np.linspace(0, len(kept) - 1, min(most, len(kept))).round().astype(int)
        return [int(unit) for unit in kept[places]]
    best = np.lexsort((-best_of[kept], -tokens[kept]))[:most]
    return sorted(int(unit) for unit in kept[best])


def _strip_height(pictures: Sequence[Picture], width: float, count: int) -> float:
    aspect = float(pictures[0].shape[0] / pictures[0].shape[1])
    return min(2.2, max(0.5, aspect * width / max(count, 4))) + 0.55


def _title(figure: Figure, facts: Facts, letters: int) -> None:
    said = " ".join(str(facts["answer"]).split()) or "(nothing)"
    lines = [*_wrapped(str(facts["question"]), letters, 2), *_wrapped(f"→ {said}", letters, 2)]
    figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=10.5, fontweight="bold",
                    color=theme.light("ink"), linespacing=1.35)


def _wrapped(text: str, letters: int, lines: int) -> list[str]:
    return textwrap.wrap(text, letters, max_lines=lines, placeholder=" …") or [""]


def _strip(figure: Any, facts: Facts, pictures: Sequence[Picture], chosen: Sequence[int]) -> None:
    """Thumbnails with number, time and tokens; their numbers stand in the panels below."""
    together = int(facts["units"]["frames"])
    scores = _numbers(facts["frames"]["scores"])
    panels = figure.subplots(1, max(len(chosen), 4), squeeze=False)[0]
    for axes in panels:
        axes.set_axis_off()
    for place, unit in enumerate(chosen):
        frames = range(unit * together, min((unit + 1) * together, len(pictures)))
        # Of a pair the frame that earned the tokens.
        best = max(frames, key=lambda at: -np.inf if np.isnan(scores[at]) else scores[at])
        axes = panels[place]
        axes.set_axis_on()
        axes.imshow(pictures[best], interpolation="antialiased", aspect="equal")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_edgecolor(theme.light("faint"))
        axes.set_title(f"{place + 1}", fontsize=8.5, color=theme.light("strong"), pad=2)
        count = int(facts["units"]["tokens"][unit])
        axes.set_xlabel(f"{clock(facts['units']['times'][unit])}\n{count:,} token"
                        + "s" * (count != 1), fontsize=8, labelpad=3)


def _scores(axes: Axes, facts: Facts, chosen: Sequence[int], gap: str) -> None:
    times, scores = _numbers(facts["frames"]["times"]), _numbers(facts["frames"]["scores"])
    known = np.isfinite(scores)
    colour = theme.light("s0")
    axes.vlines(times[known], 0, scores[known], color=colour, linewidth=1.0, alpha=0.45)
    axes.plot(times[known], scores[known], "o", color=colour, markersize=3.2, markeredgewidth=0,
              gid="scores")
    if not known.all():
        axes.plot(times[~known], np.zeros(int((~known).sum())), "x", color=theme.light("warm"),
                  markersize=4, gid="unscored")
    theme.tidy(axes)
    top = float(scores[known].max()) if known.any() else 1.0
    axes.set_ylim(min(0.0, float(scores[known].min()) if known.any() else 0.0),
                  (top or 1.0) * 1.2)
    what = "mixed with an even share" if facts["trust"] > 0 else "an even share"
    mixed = f"{gap}(trust {facts['trust']:.2f}: {what})" if facts["guarded"] else ""
    axes.set_title(f"Score of each frame{mixed}" if known.any()
                   else f"No frame has a score:{gap}tokens are shared evenly")
    _marks(axes, facts, chosen)


def _tokens(axes: Axes, facts: Facts, chosen: Sequence[int], gap: str) -> None:
    units = facts["units"]
    times, tokens = _numbers(units["times"]), np.asarray(units["tokens"], float)
    caps = np.asarray(units["caps"], float)
    wide = _spacing(times, float(facts["duration"])) * 0.8
    axes.bar(times, tokens, width=wide, color=theme.light("s1"), gid="tokens")
    gone = times[tokens == 0]
    if len(gone):  # an empty line that is not clipped takes room in the layout
        axes.plot(gone, np.zeros(len(gone)), "|", color=theme.light("soft"), markersize=4,
                  clip_on=False, gid="dropped")
    even = min(tokens.sum() / len(tokens), float(caps.mean()))
    axes.axhline(even, color=theme.light("soft"), linewidth=1.0, linestyle=(0, (4, 3)))
    axes.annotate(f"even share {even:,.0f}", (1.0, even), xycoords=("axes fraction", "data"),
                  xytext=(-2, 3), textcoords="offset points", ha="right", va="bottom",
                  fontsize=8, color=theme.light("soft"),
                  bbox={"facecolor": theme.light("surface"), "alpha": 0.8, "linewidth": 0,
                        "pad": 1.0})
    theme.tidy(axes)
    # Where a frame holds no more, the bar ends at a line.
    full = tokens >= caps
    axes.hlines(caps[full], times[full] - wide / 2, times[full] + wide / 2,
                color=theme.light("ink"), linewidth=1.4)
    dropped = int((tokens == 0).sum())
    pairs = int(units["frames"]) > 1
    what = f"each {units['frames']} frames" if pairs else "each frame"
    axes.set_title(f"Tokens of {what}: {int(tokens.sum()):,} in all"
                   + (f",{gap}{dropped} of {len(tokens)} dropped" if dropped else "")
                   + (f"{' ' if dropped else gap}(black: all it holds)" if full.any() else ""))
    axes.set_ylim(0, max(float(tokens.max()), even) * 1.25)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))
    axes.set_xlim(min(0.0, times[0]) - wide, max(float(facts["duration"]), times[-1]) + wide)
    axes.set_xlabel("time in the video")
    _marks(axes, facts, chosen)


def _marks(axes: Axes, facts: Facts, chosen: Sequence[int]) -> None:
    """Numbers of the thumbnails at their times; those that would touch share a place."""
    times = facts["units"]["times"]
    room = max(float(facts["duration"]), 1e-9) / 70
    groups: list[list[int]] = []
    for place, unit in enumerate(chosen):
        if groups and times[unit] - times[chosen[groups[-1][-1]]] < room * len(groups[-1]) * 2:
            groups[-1].append(place)
        else:
            groups.append([place])
    for group in groups:
        middle = float(np.mean([times[chosen[place]] for place in group]))
        text = (str(group[0] + 1) if len(group) == 1 else f"{group[0] + 1}–{group[-1] + 1}")
        axes.annotate(text, (middle, 1.0), xycoords=("data", "axes fraction"), xytext=(0, -2),
                      textcoords="offset points", ha="center", va="top", fontsize=8,
                      color=theme.light("strong"), fontweight="bold")


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], float)


def _spacing(times: Floats, duration: float) -> float:
    return float(np.diff(times).min()) if len(times) > 1 else max(duration, 1.0)


def clock(seconds: float) -> str:
    """``3.2 s`` below a minute, then ``4:05`` or ``1:02:03``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return (f"{hours}:" if hours else "") + f"{rest // 60:02d}:{rest % 60:02d}".lstrip(
        "" if hours else "0")


def describe_video(facts: Facts) -> str:
    """One or two sentences that say what the figure shows."""
    tokens = np.asarray(facts["units"]["tokens"], float)
    times = facts["units"]["times"]
    kept, best = int((tokens > 0).sum()), int(np.argmax(tokens))
    what = "frames" if int(facts["units"]["frames"]) == 1 else "groups of frames"
    return (f"{int(tokens.sum()):,} tokens went to {kept} of {len(tokens)} {what}, most "
            f"({int(tokens[best]):,}) to that at {clock(times[best])}.")
