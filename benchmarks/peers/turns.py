"""Cases that take turns, and what is made of their times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from neurosparse.measure import mode_edge, mode_of


@dataclass
class Row:
    """One case of one peer.

    Attributes
    ----------
    group, peer, case
        Cases of one group took turns with each other.
    blocks
        That one call goes through.
    nbytes, note, version, made, held, error
        What the worker said: weights of a call, a remark, versions, seconds to build, memory of
        its process then, and the difference of its output from the reference's as a share of that
        (None: not compared).
    wrong
        Whether that is more than the kind of its numbers explains.
    turns
        (seconds of a call, bandwidth before, after) by number of the round.
    failed
        Why there are no times.
    """

    group: str
    peer: str
    case: str
    blocks: int
    nbytes: int = 0
    note: str = ""
    version: str = ""
    made: float = 0.0
    held: int = 0
    error: float | None = None
    wrong: bool = False
    turns: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    failed: str | None = None

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.peer} {self.case}"

    @property
    def counts(self) -> bool:
        """Whether its times mean anything."""
        return self.failed is None and not self.wrong and bool(self.turns)


def take_turns(rows: list[Row], run: Callable[[Row], float], probe: Callable[[], float],
               rounds: int) -> None:
    """Round after round; memory is probed between any two turns, the first round warms up."""
    before = probe()
    for number in range(rounds + 1):
        for row in rows:
            if row.failed is not None:
                continue
            seconds = run(row)
            after = probe()
            if number and row.failed is None:
                row.turns[number] = (seconds, before, after)
            before = after


def edge_of(rows: Iterable[Row]) -> float | None:
    """Between the memory's modes."""
    return mode_edge([reading for row in rows for turn in row.turns.values()
                      for reading in turn[1:]])


def in_mode(row: Row, mode: str, edge: float | None) -> dict[int, float]:
    """Seconds by round, of the turns that saw this mode alone."""
    return {number: turn[0] for number, turn in row.turns.items()
            if mode_of(turn[1:], edge) == mode}


def ratio(ours: Row, other: Row, mode: str, edge: float | None) -> float | None:
    """How many times faster ours is: median over the rounds in which both saw the mode."""
    mine, its = in_mode(ours, mode, edge), in_mode(other, mode, edge)
    both = mine.keys() & its.keys()
    return median(its[at] / mine[at] for at in both) if both else None


def lines(rows: list[Row], mode: str, edge: float | None) -> list[dict[str, Any]]:
    """What one group did in one mode."""
    found = []
    for row in rows:
        times = in_mode(row, mode, edge)
        if not times:
            continue
        seconds = median(times.values())
        readings = [sum(row.turns[at][1:]) / 2 for at in times]
        found.append({
            "group": row.group, "mode": mode, "name": row.name, "turns": len(times),
            "ms a block": 1e3 * seconds / row.blocks, "tokens/s": 1 / seconds,
            "tokens/s of 32 blocks": row.blocks / seconds / 32,
            "MB": row.nbytes / 1e6, "GB/s": row.nbytes / seconds / 1e9,
            "memory": median(readings) / 1e9,
            "error": row.error, "wrong": row.wrong, "made": row.made, "note": row.note})
    return found


@dataclass(frozen=True)
class Question:
    """Ours against the fastest of some others, in one group.

    Attributes
    ----------
    text
        For the reader.
    group, ours, others
        Names of rows; of the others the fastest counts.
    target
        Ratio to reach, None where it is only told.
    """

    text: str
    group: str
    ours: str
    others: tuple[str, ...]
    target: float | None = None


def unanswered(question: Question) -> dict[str, Any]:
    """Where no round saw one mode of memory for both."""
    return {"question": question.text, "mode": "-", "target": question.target, "ratio": None,
            "why": "memory changed its speed in every round: take more --rounds"}


def answer(question: Question, rows: list[Row], mode: str, edge: float | None
           ) -> dict[str, Any] | None:
    """The ratio, or why there is none; None where no round saw the mode for ours and each."""
    of = {row.name: row for row in rows if row.group == question.group}
    ours = of.get(question.ours)
    others = [of[name] for name in question.others if name in of and of[name].counts]
    about: dict[str, Any] = {"question": question.text, "mode": mode, "target": question.target}
    if ours is None or not ours.counts or not others:
        about["mode"] = "-"
        missing = [row for name in (question.ours, *question.others)
                   if (row := of.get(name)) is not None and not row.counts]
        return {**about, "ratio": None,
                "why": "; ".join(f"{row.name}: {row.failed or 'wrong output'}"
                                 for row in missing) or "not in this run"}
    found = [(value, row.name) for row in others
             if (value := ratio(ours, row, mode, edge)) is not None]
    if len(found) < len(others):
        return None  # the one that is missing might be the fastest
    value, name = min(found)
    return {**about, "ratio": value, "fastest other": name,
            "reached": None if question.target is None else value >= question.target}
