"""Questions about videos: records read, answers matched with the options."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosparse.errors import FormatError, InputError

_LETTER = re.compile(r"^\s*\(?([A-Z])\s*[.):]\s*(.*)$", re.DOTALL)


@dataclass(frozen=True)
class VideoQuestion:
    """One record of a benchmark.

    Attributes
    ----------
    video
        Path, absolute or relative to the file of records.
    question, options
        What is asked, and the answers to choose from, without letters.
    answer
        Number of the right option; None where the record has none.
    group
        Whatever accuracies are also given by, ``""`` where nothing.
    """

    video: Path
    question: str
    options: tuple[str, ...]
    answer: int | None
    group: str = ""


def read_questions(path: str | Path, *, labelled: bool = True) -> list[VideoQuestion]:
    """Read JSON lines of ``video``, ``question``, ``options``, ``answer`` and maybe ``group``.

    ``answer`` is a letter, or one of the options word for word. Options may carry their letters
    (``"A. a dog"``), as those of Video-MME do.

    Parameters
    ----------
    path
        The file.
    labelled
        Whether every record must have options and an answer; else both may be left out.

    Raises
    ------
    InputError
        No such file, or no record in it.
    FormatError
        A line that is no such record.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"read {source}", found="no such file", expected="JSON lines")
    found = []
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"read {source}", found=str(error), expected="UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise FormatError(f"read {source}", found=f"line {number}: {error}",
                                  expected="one JSON record a line") from error
            found.append(_question(record, source, number, labelled))
    if not found:
        raise InputError(f"read {source}", found="no record", expected="one or more")
    return found


def _question(record: Any, source: Path, number: int, labelled: bool) -> VideoQuestion:
    if not labelled and isinstance(record, dict):
        record = {"options": [], "answer": None, **record}
    try:
        video, question, options, answer = (record[name] for name in
                                            ("video", "question", "options", "answer"))
        free = not labelled and options == []
        plain = (isinstance(video, str) and isinstance(question, str)
                 and (isinstance(answer, str) or (not labelled and answer is None))
                 and isinstance(options, list) and all(isinstance(o, str) for o in options)
                 and (2 <= len(options) <= 26 or free))
    except (KeyError, TypeError):
        plain = False
    if not plain:
        raise FormatError(f"read {source}", found=f"line {number}: {str(record)[:80]}",
                          expected="video, question and answer as texts, options as a list of 2 "
                                   "to 26 texts")
    bare = without_letters(options)
    # Without options an answer is nothing that could be matched.
    right = None if answer is None or not options else _index(answer, bare, options)
    if right is None and options and answer is not None:
        raise FormatError(f"read {source}", found=f"line {number}: answer {answer!r}",
                          expected=f"a letter from A to {chr(64 + len(bare))}, or an option")
    return VideoQuestion((source.parent / video), question, tuple(bare), right,
                         str(record.get("group", "")))


def without_letters(options: list[str]) -> list[str]:
    """Options as they are, or without their letters where each has its own."""
    found = [_LETTER.match(option) for option in options]
    if all(m is not None and ord(m[1]) == ord("A") + i for i, m in enumerate(found)):
        return [m[2].strip() for m in found if m is not None]
    return list(options)


def _index(answer: str, bare: list[str], written: list[str]) -> int | None:
    for options in (written, bare):
        if answer in options:
            return options.index(answer)
    letter = answer.strip().rstrip(".").upper()
    place = ord(letter) - ord("A") if len(letter) == 1 else -1
    return place if 0 <= place < len(bare) else None


def choice_of(text: str, options: tuple[str, ...]) -> int | None:
    """Which option a model's answer names; None where it names none, or more than one.

    A letter at its beginning (``B``, ``(B)``, ``B. a dog``), a letter after the word "answer",
    or the text of exactly one option.

    Parameters
    ----------
    text
        Of the model.
    options
        Without letters.
    """
    last = chr(ord("A") + len(options) - 1)
    for pattern in (rf"^\W*([A-{last}])(?![\w'])", rf"answer\W+(?:is\W+)?([A-{last}])(?![\w'])"):
        found = re.search(pattern, text, re.IGNORECASE if "answer" in pattern else 0)
        if found is not None:
            return ord(found[1].upper()) - ord("A")
    low = text.casefold()
    named = [i for i, option in enumerate(options)
             if re.search(rf"(?<!\w){re.escape(option.casefold())}(?!\w)", low)]
    return named[0] if len(named) == 1 else None
