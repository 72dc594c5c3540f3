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
    ("B", 1), ("(B) a cat", 1), ("B. a cat", 1), ("The answer is C.", 2), ("answer: a", 0),
    ("a cat", 1), ("It is a Cat, surely", 1), ("a dog or a cat", None), ("Because", None),
    ("D", None), ("A'dam", None), ("", None),
])
def test_which_option_an_answer_names(text: str, want: int | None) -> None:
    assert choice_of(text, ("a dog", "a cat", "a catalogue")) == want


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
