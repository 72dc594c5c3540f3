"""Accuracy on questions about videos (``neurosparse video eval``)."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurosparse import kernels
from neurosparse.errors import InputError, NeurosparseError, ResumeError
from neurosparse.files import check_can_hold, sha256, write_json, write_text
from neurosparse.pipeline.video_identity import clip_digest, session_identity
from neurosparse.pipeline.video_questions import VideoQuestion, choice_of, read_questions
from neurosparse.pipeline.video_session import VideoOptions, VideoSession
from neurosparse.pipeline.video_step import video_cost
from neurosparse.progress import Progress, silent
from neurosparse.records import RunRecord

_FORMAT, _VERSION = "neurosparse.video.answers", 2
_LINES = "answers.jsonl"
# What changes nothing about the answers but rounding.
_FREE = ("device", "cache", "converted")


def video_eval(
    options: VideoOptions, questions: str | Path, *, out: str | Path = "video-eval",
    limit: int | None = None, seed: int = 0, resume: bool = False, overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Ask every question; a line of ``answers.jsonl`` is on the disk as soon as it is answered.

    A question that cannot be answered (a broken video) is noted in its line, left out of the
    accuracy, and asked again by ``resume``.

    Parameters
    ----------
    options
        How.
    questions
        As for ``read_questions``.
    out
        Folder of ``answers.jsonl``, ``summary.json`` and ``run.json``.
    limit, seed
        Only so many questions, drawn by the seed; all where None.
    resume, overwrite
        Go on with the answers in ``out``, or begin anew.
    progress
        Called after each question.

    Returns
    -------
    dict
        As :func:`summarise` gives it.

    Raises
    ------
    NeurosparseError
        As for ``read_questions`` and ``VideoSession``; no question that could be answered.
    ResumeError
        Answers in ``out`` that were given with other options or weights, to other questions, or
        of other clips.
    """
    folder, asked = Path(out), read_questions(questions)
    check_can_hold(folder)
    chosen = _drawn(len(asked), limit, seed)
    head = {"format": _FORMAT, "version": _VERSION,
            "settings": {k: v for k, v in asdict(options).items() if k not in _FREE},
            "questions": sha256(questions)}
    before = _before(folder / _LINES, resume, overwrite)
    lines = _kept(folder / _LINES, before, head, asked)
    record = RunRecord("video eval", arguments={**asdict(options), "questions": str(questions),
                                                "limit": limit},
                       level=kernels.level(), seeds={"questions": seed},
                       threads=torch.get_num_threads())
    record.data = {"questions": str(questions), "sha256": head["questions"],
                   "asked": len(chosen), "in_file": len(asked)}
    todo = [number for number in chosen if number not in lines]
    # Opened even where all is answered: only then is it known whether by these weights.
    with record.timed("load"):
        session = VideoSession(options)
    who = session_identity(session)
    if before is not None:
        _refuse(folder / _LINES, [name for name in who if before[0].get(name) != who[name]])
    log = _Log(folder / _LINES, [{**head, **who}, *lines.values()])
    with record.timed("answer"):
        for number in todo:
            lines[number] = line = _answered(session, number, asked[number])
            log.add(line)
            progress("questions", len(chosen) - len(todo) + todo.index(number) + 1, len(chosen))
    record.results = summarise([lines[number] for number in chosen])
    log.begin()
    write_json(folder / "summary.json", record.results)
    record.write(folder / "run.json")
    return record.results


def _drawn(count: int, limit: int | None, seed: int) -> list[int]:
    if limit is not None and limit < 1:
        raise InputError("ask questions", found=f"limit {limit}", expected="1 or more")
    if limit is None or limit >= count:
        return list(range(count))
    drawn = np.random.default_rng(seed).choice(count, limit, replace=False)
    return sorted(int(number) for number in drawn)


class _Log:
    """``answers.jsonl``, which is made or replaced when there is an answer to write.

    A run that gives none, as its options do not fit the model, leaves what was there.
    """

    def __init__(self, path: Path, lines: list[dict[str, Any]]) -> None:
        self._path, self._waiting, self._begun = path, lines, False

    def add(self, line: dict[str, Any]) -> None:
        """Write a line to the disk; failures before the first answer wait for it."""
        if not self._begun:
            self._waiting.append(line)
            if "error" not in line:
                self.begin()
            return
        with self._path.open("a", encoding="utf-8") as log:
            log.write(_written(line))
            log.flush()
            os.fsync(log.fileno())

    def begin(self) -> None:
        """Write what waits."""
        if not self._begun:
            write_text(self._path, "".join(map(_written, self._waiting)))
        self._begun = True


def _written(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _before(path: Path, resume: bool, overwrite: bool) -> list[dict[str, Any]] | None:
    """Head and answers of the run that is gone on with, None where there is none."""
    if overwrite or not path.exists():
        return None
    if not resume:
        raise InputError("ask questions", found=f"answers in {path.parent}",
                         expected="an empty folder",
                         mend="Go on with --resume, or discard them with --overwrite.")
    return _read(path)


def _kept(path: Path, before: list[dict[str, Any]] | None, head: dict[str, Any],
          asked: Sequence[VideoQuestion]) -> dict[int, dict[str, Any]]:
    """Answers that count already, in the order of their numbers.

    Raises
    ------
    ResumeError
        They are of other questions, options or clips; what differs is named. A clip that is not
        there any more is no other one.
    """
    if before is None:
        return {}
    head = json.loads(json.dumps(head))
    found = before[0] if before and isinstance(before[0], dict) else {}
    wrong = [name for name in head if name not in ("settings", "questions")
             and found.get(name) != head[name]]
    mine, theirs = head["settings"], found.get("settings") or {}
    options = [name for name in mine if name not in theirs or mine[name] != theirs[name]]
    if found.get("questions") != head["questions"]:
        wrong.append("questions")
    if options:
        wrong.append(f"options ({', '.join(options)})")
    # What failed is asked again.
    lines = {one["number"]: one for one in before[1:] if "error" not in one}
    if not wrong:
        clips = {asked[number].video: one.get("clip") for number, one in sorted(lines.items())}
        wrong = [f"clip {video.name}" for video, digest in clips.items()
                 if clip_digest(video) not in (digest, None)][:3]
    _refuse(path, wrong)
    return dict(sorted(lines.items()))


def _refuse(path: Path, wrong: Sequence[str]) -> None:
    if wrong:
        raise ResumeError("ask questions", found=f"{path} of other {', '.join(wrong)}",
                          expected="those of this call",
                          mend="Name another folder with --out, or use --overwrite.")


def _read(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a run that was killed may have left half of one at the end."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def _answered(session: VideoSession, number: int, one: VideoQuestion) -> dict[str, Any]:
    line: dict[str, Any] = {"number": number, "video": one.video.name, "group": one.group,
                            "options": len(one.options), "right": chr(65 + (one.answer or 0))}
    try:
        line["clip"] = clip_digest(one.video)
        _, facts = session.answer(one.video, one.question, one.options)
    except NeurosparseError as error:
        return {**line, "error": str(error)}
    choice = choice_of(facts["answer"], one.options)
    return {**line, "answer": facts["answer"],
            "choice": None if choice is None else chr(65 + choice),
            "correct": choice == one.answer, "tokens": facts["tokens"],
            "shown": facts["shown"], "sequence": facts["sequence"], "trust": facts["trust"],
            "asked": facts["asked"], "notes": facts["notes"],
            "seconds": {name: round(value, 4) for name, value in facts["seconds"].items()}}


def summarise(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy with its error, of lines of ``answers.jsonl``.

    Returns
    -------
    dict
        ``accuracy``, its binomial ``stderr``, ``interval`` (95 %, Wilson), ``chance``,
        ``questions`` answered, ``failed``, ``unread`` (answers that name no option: wrong),
        ``groups`` (the same by group, where there are any), mean ``tokens`` and ``seconds``.

    Raises
    ------
    InputError
        No question was answered.
    """
    done = [one for one in lines if "error" not in one]
    if not done:
        raise InputError("ask questions", found=f"{len(lines)} questions of which none could be "
                         f"answered: {lines[0]['error'] if lines else 'no question'}",
                         expected="one or more")
    groups = sorted({one["group"] for one in done} - {""})
    return {
        **_accuracy([one["correct"] for one in done]),
        "chance": float(np.mean([1 / one["options"] for one in done])),
        "failed": len(lines) - len(done),
        "unread": sum(one["choice"] is None for one in done),
        "groups": {group: _accuracy([one["correct"] for one in done if one["group"] == group])
                   for group in groups},
        "tokens": float(np.mean([one["tokens"] for one in done])),
        "seconds": {name: float(np.mean([one["seconds"][name] for one in done]))
                    for name in done[0]["seconds"]},
        "answers_sha256": hashlib.sha256(
            json.dumps([[one["number"], one["answer"]] for one in done]).encode()).hexdigest(),
    }


def _accuracy(right: Sequence[bool]) -> dict[str, Any]:
    count, share, z = len(right), float(np.mean(right)), 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return {"accuracy": share, "stderr": math.sqrt(share * (1 - share) / count),
            "interval": [max(0.0, middle - half), min(1.0, middle + half)], "questions": count}


def video_eval_cost(options: VideoOptions, questions: str | Path, *, limit: int | None = None,
                    seed: int = 0) -> dict[str, Any]:
    """How many questions and videos there are, which are missing, and the cost of the first.

    Raises
    ------
    NeurosparseError
        As for ``read_questions`` and ``video_cost``.
    """
    asked = read_questions(questions)
    chosen = [asked[number] for number in _drawn(len(asked), limit, seed)]
    videos = list(dict.fromkeys(one.video for one in chosen))
    there = [path for path in videos if path.is_file()]
    return {"questions": len(chosen), "videos": len(videos),
            "missing": [str(path) for path in videos if not path.is_file()],
            "first": video_cost(options, str(there[0])) if there else None}
