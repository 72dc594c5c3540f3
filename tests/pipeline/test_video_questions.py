"""Records of questions about videos, answers read, and the error of an accuracy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neurosparse.errors import FormatError, InputError
from neurosparse.pipeline.video_eval import summarise
from neurosparse.pipeline.video_questions import choice_of, read_questions, without_letters


def test_the_error_is_binomial() -> None:
    def lines(right: int, of: int) -> list[dict[str, Any]]:
        return [{"number": i, "answer": "A", "choice": "A", "correct": i < right, "group": "",
                 "options": 4, "tokens": 8, "seconds": {"answer": 1.0}} for i in range(of)]

    found = summarise(lines(30, 40))
    assert found["stderr"] == pytest.approx((0.75 * 0.25 / 40) ** 0.5)
    low, high = found["interval"]
    # Wilson: both ends are z errors of their own away from the share.
    for end in (low, high):
        assert abs(0.75 - end) == pytest.approx(1.959964 * (end * (1 - end) / 40) ** 0.5)
    assert summarise(lines(40, 40))["interval"][0] < 0.95


@pytest.mark.parametrize(("text", "want"), [
    ("B", 1), ("(B) a cat", 1), ("B. a cat", 1), ("The answer is C.", 2), ("Answer: A", 0),
    ("A cat", 1), ("A cat is seen last.", 1), ("The answer is a cat.", 1), ("**B**", 1),
    ("I think the answer: a cat", 1), ("answer (b)", 1), ("the answer is a", None), ("B\nas", 1),
    ("A bird", None), ("The answer is A because", None), ("The answer is B because", 1),
    ("see B.", None), ("Then B\nC", None),
    ("a cat", 1), ("It is a Cat, surely", 1), ("a dog or a cat", None), ("Because", None),
    ("D", None), ("A'dam", None), ("", None),
])
def test_which_option_an_answer_names(text: str, want: int | None) -> None:
    assert choice_of(text, ("a dog", "a cat", "a catalogue")) == want


def test_a_pronoun_is_no_option() -> None:
    letters = tuple("abcdefghij")
    assert choice_of("I am not sure.", letters) is None
    assert choice_of("I am not sure.", tuple(f"w{i}" for i in range(10))) is None
    assert choice_of("(i)", letters) == choice_of("The answer is I", letters) == 8
    assert choice_of("c", ("c", "b", "a")) == 0  # the text before the letter


def test_records(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    good = {"video": "v/x.mp4", "question": "q", "options": ["one", "two"], "answer": "two"}
    path.write_text(json.dumps(good) + "\n\n" + json.dumps({**good, "answer": "A."}))
    first, second = read_questions(path)
    assert first.video == tmp_path / "v/x.mp4" and (first.answer, second.answer) == (1, 0)
    assert without_letters(["A. x", "B) y"]) == ["x", "y"]
    assert without_letters(["A. x", "C. y"]) == ["A. x", "C. y"]
    for change in ({"answer": "C"}, {"answer": 1}, {"options": ["one"]}, {"video": None}):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(FormatError, match="line 1"):
            read_questions(path)
    for text in ("[1]", "{", json.dumps({"video": "x"})):
        path.write_text(text)
        with pytest.raises(FormatError, match="line 1"):
            read_questions(path)
    path.write_text("\n")
    with pytest.raises(InputError, match="no record"):
        read_questions(path)


@pytest.mark.parametrize(("change", "words"), [
    ({"options": ["w1", "w1"]}, "the option 'w1' twice"),
    ({"options": ["A. w1", "B. w1 "]}, "the option 'w1' twice"),
    ({"options": ["w1", " "]}, "an empty option"), ({"question": " "}, "an empty question"),
    ({"group": ["short"]}, "group"), ({"group": True}, "group"),
])
def test_what_cannot_be_asked_is_refused_at_its_line(tmp_path: Path, change: dict[str, Any],
                                                     words: str) -> None:
    path = tmp_path / "q.jsonl"
    good = {"video": "a.mp4", "question": "q", "options": ["one", "two"], "answer": "A"}
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, **change}))
    with pytest.raises(FormatError, match=f"line 2: {words}"):
        read_questions(path)


def test_groups(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    good = {"video": "a.mp4", "question": "q", "options": ["one", "two"], "answer": "A"}
    groups: list[dict[str, Any]] = [{}, {"group": None}, {"group": "long"}, {"group": 3}]
    path.write_text("\n".join(json.dumps({**good, **one}) for one in groups))
    assert [one.group for one in read_questions(path)] == ["", "", "long", "3"]


def test_records_without_answers(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    lines: list[dict[str, Any]] = [
        {"video": "a.mp4", "question": "what ?"},
        {"video": "a.mp4", "question": "what ?", "options": ["a dog", "a cat"]},
        {"video": "a.mp4", "question": "what ?", "answer": "a dog"},
        {"video": "a.mp4", "question": "what ?", "options": ["a dog", "a cat"], "answer": "B"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read_questions(path, labelled=False)
    assert [one.answer for one in found] == [None, None, None, 1]
    assert [len(one.options) for one in found] == [0, 2, 0, 2]
    with pytest.raises(FormatError, match="line 1"):
        read_questions(path)
    for wrong in ({"question": "what ?"}, {**lines[0], "options": ["one"]},
                  {**lines[3], "answer": "C"}, {**lines[0], "answer": 3}, ["a.mp4"]):
        path.write_text(json.dumps(wrong))
        with pytest.raises(FormatError, match="line 1"):
            read_questions(path, labelled=False)
