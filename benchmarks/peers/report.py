"""The record of a run, and its tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from neurosparse import kernels
from peers import setup
from peers.questions import QUESTIONS
from peers.turns import Row, answer, edge_of, lines, unanswered
from peers.weights import Weights

MODES = ("one", "wide", "narrow")
_CROWDED = 1.3


def record(rows: list[Row], threads: int, weights: Weights, cache: int, load: list[float]
           ) -> dict[str, Any]:
    """Everything as JSON has it; ``load``: processes that wanted a core, per core, by group."""
    groups = list(dict.fromkeys(row.group for row in rows))
    found: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for group in groups:
        mine = [row for row in rows if row.group == group]
        edge = edge_of(mine)
        modes = MODES[:1] if edge is None else MODES[1:]
        for mode in modes:
            found += lines(mine, mode, edge)
        for question in (one for one in QUESTIONS if one.group == group):
            said = [one for mode in modes
                    if (one := answer(question, mine, mode, edge)) is not None]
            answers += [one for at, one in enumerate(said) if one not in said[:at]] or [
                unanswered(question)]
    return {
        "machine": setup.processor(), "threads": threads, "level": kernels.level(),
        "last_cache_MB": cache / 2**20, "load": load, "width": weights.shape.width,
        "inner": weights.shape.inner, "zeros": weights.sparsity, "versions": versions(rows),
        "installed": installed(), "rows": found, "answers": answers,
        "failed": {f"{row.group}: {row.name}": row.failed for row in rows if row.failed},
        "turns": [asdict(row) for row in rows]}


def versions(rows: list[Row]) -> dict[str, str]:
    """What every peer said of itself."""
    return {row.peer: row.version for row in rows if row.version}


def installed() -> dict[str, list[str]]:
    """Packages of every environment."""
    found = {}
    for name in setup.PEERS:
        path = setup.BUILD / name / "installed.txt"
        if path.exists():
            found[name] = path.read_text(encoding="utf-8").split()
    return found


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{found['machine']}, {found['threads']} threads, {found['level']}, last cache "
          f"{found['last_cache_MB']:.0f} MB; blocks of {found['width']} x {found['inner']}, "
          f"{found['zeros']:.0%} zeros, batch 1")
    if max(found["load"]) > _CROWDED:
        print(f"OTHERS RAN ON THIS MACHINE ({max(found['load']):.1f} processes a core): threads "
              "that wait for each other suffer most, ratios mean nothing")
    for peer, version in found["versions"].items():
        print(f"  {peer}: {version}")
    last = None
    for row in found["rows"]:
        if (row["group"], row["mode"]) != last:
            last = (row["group"], row["mode"])
            print(f"\n{row['group']}; memory mode: {row['mode']}")
            print(f"{'':32}{'turns':>6}{'ms/block':>10}{'tokens/s':>10}{'32 blocks':>10}"
                  f"{'MB':>8}{'GB/s':>7}{'memory':>8}{'error':>9}  note")
        print(f"{row['name']:32}{row['turns']:6}{row['ms a block']:10.3f}{row['tokens/s']:10.2f}"
              f"{row['tokens/s of 32 blocks']:10.2f}{row['MB']:8.0f}"
              f"{row['GB/s']:7.1f}{row['memory']:8.1f}{number(row['error'], 9, 4)}"
              f"{' WRONG' if row['wrong'] else ''}  {row['note']}")
    for name, why in found["failed"].items():
        print(f"\n{name}: {why}")
    print(f"\n{'':46}{'mode':8}{'ratio':>7}{'target':>8}")
    for said in found["answers"]:
        told = (said["why"] if said["ratio"] is None else f"fastest other: {said['fastest other']}"
                + ("" if said["reached"] is None else
                   f"; {'reached' if said['reached'] else 'missed'}"))
        print(f"{said['question']:46}{said['mode']:8}{number(said['ratio'], 7, 2)}"
              f"{number(said['target'], 8, 2)}  {told}")


def number(value: float | None, width: int, digits: int) -> str:
    """Right-aligned; a dash for nothing."""
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"
