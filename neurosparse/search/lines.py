"""The lines of an archive: what is written, and how a file is read back.

JSON lines. The first is the header: ``format``, ``version``, ``space``, ``model``, ``about``. Then
in the order of the work

``{"line": "run", "run": ID, "search": {...}}``
    a search began: its proposer, options, seed and batch;
``{"line": "asked", "run": ID, "configurations": [[...], ...], "notes": {...}}``
    what the proposer wants evaluated, written before it is;
``{"line": "value", "run": ID, "key": ..., "fidelity": 1, "value": 12.3, "reason": null}``
    what came of it; ``value`` null and a ``reason`` where it failed.

No times: a search that was killed and resumed ends with the same bytes as an undisturbed one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurosparse.errors import FormatError, ResumeError

FORMAT = "neurosparse.search"
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One evaluation.

    Attributes
    ----------
    run
        The search that paid for it.
    key, fidelity
        What was evaluated, and how thoroughly.
    value
        None where it failed.
    reason
        Why it failed.
    """

    run: str
    key: str
    fidelity: int
    value: float | None
    reason: str | None = None

    @property
    def told(self) -> float:
        """The value that proposers see: infinite where the evaluation failed."""
        return math.inf if self.value is None else self.value


@dataclass(frozen=True)
class Asked:
    """One batch that a proposer wanted evaluated, with its notes (where each came from)."""

    run: str
    configurations: list[list[float]]
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Lines:
    """All that an archive holds.

    Attributes
    ----------
    runs
        Description by the run's name.
    batches
        In order, by the run's name.
    entries
        In order of writing, by (key, fidelity).
    """

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[str, list[Asked]] = field(default_factory=dict)
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict)

    def take(self, item: Mapping[str, Any]) -> None:
        """Add one line.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is none.
        """
        kind = item["line"]
        if kind == "run":
            self.runs[item["run"]] = dict(item["search"])
        elif kind == "asked":
            batch = Asked(item["run"], [[float(x) for x in row] for row in item["configurations"]],
                          dict(item["notes"]))
            self.batches.setdefault(batch.run, []).append(batch)
        elif kind == "value":
            value = item["value"]
            entry = Entry(item["run"], item["key"], int(item["fidelity"]),
                          None if value is None else float(value), item["reason"])
            self.entries[entry.key, entry.fidelity] = entry
        else:
            raise ValueError(f"a line {kind!r}")


def dumped(item: Mapping[str, Any]) -> bytes:
    """One line; NaN and infinities, which are no JSON, never get in."""
    return json.dumps(item, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def loaded(path: Path, header: Mapping[str, Any] | None) -> tuple[Lines, int]:
    """Read an archive; a torn last line, of a program that was killed, is left out.

    Parameters
    ----------
    header
        What the first line must say; None takes any.

    Returns
    -------
    lines, end
        ``end``: bytes of the whole lines.

    Raises
    ------
    FormatError
        Not an archive, an unknown version, or a broken line before the last.
    ResumeError
        The archive of another space, model or fitness.
    """
    raw = path.read_bytes()
    end = raw.rfind(b"\n") + 1
    rows = raw[:end].splitlines()
    found = Lines()
    for number, row in enumerate(rows):
        try:
            item = json.loads(row)
            if number:
                found.take(item)
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise FormatError(f"read {path}", found=f"line {number + 1} that is none ({error})",
                              expected="an archive of neurosparse.search",
                              mend="Remove the broken line.") from error
        if not number:
            _check_header(path, item, header)
    if not rows:
        raise FormatError(f"read {path}", found="no header", expected=f'"format": "{FORMAT}"')
    return found, end


def _check_header(path: Path, found: Any, expected: Mapping[str, Any] | None) -> None:
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FormatError(f"read {path}", found="another kind of file",
                          expected=f'"format": "{FORMAT}"')
    if found.get("version") != VERSION:
        raise FormatError(f"read {path}", found=f"version {found.get('version')!r}",
                          expected=f"version {VERSION}", mend="A newer neurosparse wrote it?")
    if expected is None:
        return
    other = [name for name in ("model", "space", "about") if found.get(name) != expected[name]]
    if other:
        name = other[0]
        raise ResumeError(f"go on with {path}", found=f"an archive of another {name}: "
                          f"{json.dumps(found.get(name))[:300]}",
                          expected=json.dumps(expected[name])[:300],
                          mend="Choose another file.")
