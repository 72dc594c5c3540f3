"""What models that took turns needed: medians, spreads, and ratios within one memory mode."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neurosparse.measure.bandwidth import mode_edge, mode_of

KINDS = ("prefill", "decode")


@dataclass(frozen=True)
class Turn:
    """One model's turn at one of the two jobs.

    Attributes
    ----------
    who, kind, round
        Name of the model; ``"prefill"`` or ``"decode"``; turns of one round stand side by side.
    seconds
        Of the prompt, or of every step (float, at least one).
    before, after
        What the memory gave just before and just after, bytes a second.
    """

    who: str
    kind: str
    round: int
    seconds: tuple[float, ...]
    before: float
    after: float

    @property
    def time(self) -> float:
        """Median seconds of the prompt or of a step."""
        return statistics.median(self.seconds)

    @property
    def bandwidth(self) -> float:
        """Mean of the readings around it, bytes a second."""
        return (self.before + self.after) / 2


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles, and of how many values."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        low, median, high = np.percentile(list(values), (25, 50, 75))
        return cls(float(median), float(low), float(high), len(values))


@dataclass(frozen=True)
class Summary:
    """One job in one memory mode.

    Attributes
    ----------
    kind, mode
        ``"prefill"`` or ``"decode"``; ``"one"``, ``"narrow"`` or ``"wide"``.
    speed : dict from name to Spread
        Tokens a second.
    bandwidth : Spread
        Of the memory around these turns, bytes a second.
    share : dict from name to Spread
        Of that bandwidth which the weights of a step took; decode only.
    ratio : Spread or None
        Speed of the first model over that of the second, in pairs of neighbouring turns; None
        where no pair fell into this mode.
    """

    kind: str
    mode: str
    speed: dict[str, Spread]
    bandwidth: Spread
    share: dict[str, Spread]
    ratio: Spread | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def summarise(turns: Sequence[Turn], *, prompt: int, moved: dict[str, int]) -> list[Summary]:
    """Put turns together by job and memory mode.

    A turn during which the mode changed belongs to none, and its round has no ratio.

    Parameters
    ----------
    turns
        Of one or two models, all rounds.
    prompt
        Tokens of the prompt.
    moved
        Bytes of weights that a step reads, by model.
    """
    edge = mode_edge([reading for turn in turns for reading in (turn.before, turn.after)])
    modes = [(turn, mode_of((turn.before, turn.after), edge)) for turn in turns]
    return [
        _summary(kind, mode, here, prompt if kind == "prefill" else 1, moved)
        for kind in KINDS for mode in ("one", "wide", "narrow")
        if (here := [turn for turn, its in modes if turn.kind == kind and its == mode])
    ]


def _summary(kind: str, mode: str, turns: list[Turn], tokens: int, moved: dict[str, int]
             ) -> Summary:
    names = list(moved)
    by_name = {name: [turn for turn in turns if turn.who == name] for name in names}
    present = {name: its for name, its in by_name.items() if its}
    share = {name: Spread.of([moved[name] / turn.time / turn.bandwidth for turn in its])
             for name, its in present.items()} if kind == "decode" else {}
    ratio = None
    if len(names) == 2:
        first, second = ({turn.round: turn.time for turn in by_name[name]} for name in names)
        pairs = [second[number] / first[number] for number in sorted(first.keys() & second.keys())]
        ratio = Spread.of(pairs) if pairs else None
    return Summary(
        kind, mode, {name: Spread.of([tokens / turn.time for turn in its])
                     for name, its in present.items()},
        Spread.of([turn.bandwidth for turn in turns]), share, ratio)
