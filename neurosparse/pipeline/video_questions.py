"""Questions about videos: records read, answers matched with the options."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosparse.errors import FormatError, InputError

MOST_OPTIONS = 26
"""As many as there are letters."""
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
                 and (2 <= len(options) <= MOST_OPTIONS or free))
    except (KeyError, TypeError):
        plain = False
    if not plain:
        raise FormatError(f"read {source}", found=f"line {number}: {str(record)[:80]}",
                          expected="video, question and answer as texts, options as a list of 2 "
                                   f"to {MOST_OPTIONS} texts")
    bare = without_letters(options)
    wrong = wrong_question(question, bare)
    if wrong is not None:
        raise FormatError(f"read {source}", found=f"line {number}: {wrong[0]}", expected=wrong[1])
    # Without options an answer is nothing that could be matched.
    right = None if answer is None or not options else _index(answer, bare, options)
    if right is None and options and answer is not None:
        raise FormatError(f"read {source}", found=f"line {number}: answer {answer!r}",
                          expected=f"a letter from A to {chr(64 + len(bare))}, or an option")
    return VideoQuestion((source.parent / video), question, tuple(bare), right,
                         _group(record.get("group"), source, number))


def _group(value: Any, source: Path, number: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise FormatError(f"read {source}", found=f"line {number}: group {str(value)[:40]}",
                          expected="a word, or null for none")
    return str(value)


def wrong_question(question: str, options: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a question and its options without letters, and what would be right.

    None where nothing is: a question that says something, and no options or 2 to 26 of them that
    differ.
    """
    if not question.strip():
        return "an empty question", "what is asked"
    if options and not 2 <= len(options) <= MOST_OPTIONS:
        return f"{len(options)} options", f"none, or 2 to {MOST_OPTIONS}"
    plain = [option.strip() for option in options]
    if "" in plain:
        return "an empty option", "options that say something"
    twice = next((option for option in plain if plain.count(option) > 1), None)
    return None if twice is None else (f"the option {twice!r} twice", "options that differ")


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

    The text of exactly one option; else a letter at the beginning with punctuation or the end of
    the line behind it (``B``, ``(B)``, ``B.``); else a letter after the word "answer".

    Parameters
    ----------
    text
        Of the model.
    options
        Without letters.
    """
    low = text.casefold()
    named = [i for i, option in enumerate(options) if _is_named(option.casefold(), low)]
    if len(named) == 1:
        return named[0]
    last = chr(ord("A") + len(options) - 1)
    upper, any_case = f"A-{last}", f"A-{last}a-{last.lower()}"
    # "A dog", "I think" and "the answer is a dog" begin no option: A and I are words of English.
    first = re.match(
        rf"\W*?(?:[(\[]([{any_case}])[)\]]|([{upper}])\s*?(?:[.):\],;!?*]|$))", text, re.MULTILINE)
    after = re.search(
        rf"\b(?i:answer)\W+?(?:(?i:is)\W+?)?(?:[(\[]([{any_case}])[)\]]"
        rf"|([{upper}])(?![\w'])(?!(?<=[AI])[ \t]+\w))", text)
    found = first or after
    return None if found is None else ord((found[1] or found[2]).upper()) - ord("A")


def _is_named(option: str, text: str) -> bool:
    if len(option) == 1 and option.isalpha():
        # The pronoun, or the article: a letter is named where nothing else is said.
        return text.strip(" \t\n.()[]*\"'") == option
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text) is not None
