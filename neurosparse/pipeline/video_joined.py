"""Tokens and sparsity chosen together for a video model (``neurosparse video budget``)."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurosparse import kernels, report
from neurosparse.budgets import (
    Budget,
    JoinedChoice,
    JoinedPoint,
    ModelIdentity,
    joined,
    joined_budgets,
    surface,
    write_budgets,
)
from neurosparse.errors import InputError, ResumeError
from neurosparse.files import check_can_hold, read_json, sha256, write_json, write_whole
from neurosparse.measure.joined_points import (
    JoinedPoints,
    by_group,
    joined_points,
    pruned,
    spread,
)
from neurosparse.measure.joined_seconds import answer_seconds, dense_seconds, packed
from neurosparse.measure.video_answers import Reference, answers, references
from neurosparse.models import identity
from neurosparse.pipeline.plan import matmul_speed
from neurosparse.pipeline.video_calibration import (
    LADDER,
    Calibration,
    JoinedOptions,
    drawn_questions,
)
from neurosparse.pipeline.video_questions import read_questions
from neurosparse.pipeline.video_step import video_cost
from neurosparse.progress import Progress, silent
from neurosparse.records import RunRecord

# Tokens of a question, about.
_QUESTION = 100
_HEAD = Path("points") / "settings.json"
_FILES = ("budget.json", "curves.json", "joined.png", "run.json")


def video_budget(options: JoinedOptions, questions: str | Path, *, out: str | Path = "joined",
                 resume: bool = False, overwrite: bool = False, progress: Progress = silent
                 ) -> dict[str, Any]:
    """Measure damage and cost of tokens and sparsity, and choose within a goal.

    Leaves ``budget.json`` (both budgets), ``curves.json`` (what was measured, written before the
    choice), ``joined.png``, ``run.json``, and the finished sparsities in ``points/``: another goal
    with ``resume`` chooses again from these.

    Parameters
    ----------
    options
        Model, ladder and goal.
    questions
        JSON lines of ``video`` and ``question``, maybe ``options`` and ``answer``.
    out
        Folder of the results.
    resume, overwrite
        Go on with what is in ``out``, or begin anew.
    progress
        Called on the way.

    Returns
    -------
    dict
        The choice, each of the two alone, the cross term, and the damage measured at the choice.

    Raises
    ------
    NeurosparseError
        As for ``VideoSession``, ``joined_points`` and ``budgets.joined``; results in ``out`` that
        are neither to be gone on with nor replaced.
    """
    folder = Path(out)
    check_can_hold(folder)
    read_questions(questions, labelled=options.labelled)  # a wrong file is said first
    settings = {**options.settings(), "questions": sha256(questions)}
    _check(folder, settings, resume, overwrite)
    record = RunRecord("video budget", arguments={**asdict(options), "questions": str(questions)},
                       level=kernels.level(), seeds={"questions": options.seed},
                       threads=torch.get_num_threads())
    record.data = {"questions": str(questions), "sha256": settings["questions"]}
    with record.timed("load"):
        run = Calibration(options, questions)
    settings |= run.identity
    _check(folder, settings, resume, overwrite)
    _begin(folder, settings, overwrite)
    with record.timed("calibration"):
        run.prepare(progress=progress)
    points, dense = _measure(run, folder, repr(settings), record, progress)
    found: dict[str, Any] = {"unit": options.unit, "damage": options.damage,
                             **({} if dense is None else {"dense_seconds": dense}),
                             **points.as_dict(), "cross": _cross(points, options.damage)}
    write_json(folder / "curves.json", found)
    choice = _choose(options, points, dense)
    if options.check:
        with record.timed("check"):
            found["measured"] = _measured(run, choice.best, progress)
    found["choice"] = {name: None if one is None else asdict(one) for name, one in (
        ("best", choice.best), ("tokens_alone", choice.tokens_alone),
        ("sparsity_alone", choice.sparsity_alone))}
    write_json(folder / "curves.json", found)
    if min(points.flops.shape) > 1:  # one level of either is a curve and no plane
        _draw(points, options, dense, choice, folder / "joined.png")
    _write(run, choice.best, found, folder / "budget.json")
    record.results = summary(found)
    record.write(folder / "run.json")
    return record.results


def _check(folder: Path, settings: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Refuse results that are neither to be gone on with nor replaced, or that are of others."""
    head = folder / _HEAD
    there = [name for name in _FILES if (folder / name).exists()]
    if (there or head.exists()) and not (resume or overwrite):
        raise InputError("video budget", found=f"results in {folder}", expected="an empty folder",
                         mend="Go on with --resume, or discard them with --overwrite.")
    if head.exists() and not overwrite:
        before = read_json(head)
        wrong = sorted(name for name, value in settings.items() if before.get(name) != value)
        if wrong:
            raise ResumeError(
                f"resume in {folder}", found=f"other {', '.join(wrong)} than in the run there",
                expected="the same questions, clips, weights and options, all but the goal",
                mend="Name another folder with --out, or use --overwrite.")


def _begin(folder: Path, settings: dict[str, Any], overwrite: bool) -> None:
    head = folder / _HEAD
    if overwrite:
        for file in (head, *head.parent.glob("sparsity-*.npz"),
                     *(folder / name for name in _FILES)):
            file.unlink(missing_ok=True)
    head.parent.mkdir(parents=True, exist_ok=True)
    write_json(head, settings)


def _measure(run: Calibration, folder: Path, mark: str, record: RunRecord, progress: Progress
             ) -> tuple[JoinedPoints, float | None]:
    options, clock, dense = run.options, None, None
    if options.unit == "seconds":
        with record.timed("dense seconds"):
            dense = dense_seconds(run.watching, run.timed, run.reference,
                                  max_new_tokens=options.watch.max_new_tokens)
        clock = partial(_seconds, run)
    with record.timed("points"):
        points = joined_points(
            run.watching, run.asked, tokens=run.tokens, sparsities=options.sparsities,
            budget_of=run.budget_of, prompts=run.prompts, reference=run.reference,
            method=options.method, folder=folder / "points", mark=mark, clock=clock,
            progress=progress)
    return points, dense


def _seconds(run: Calibration, sparsity: float) -> Any:
    """Seconds by budget; packed where there are zeros to leave out."""
    most = run.options.watch.max_new_tokens
    if not sparsity:
        return answer_seconds(run.watching, run.timed, run.tokens, max_new_tokens=most)
    with packed(run.watching, values=run.options.values) as watching:
        return answer_seconds(watching, run.timed, run.tokens, max_new_tokens=most)


def _choose(options: JoinedOptions, points: JoinedPoints, dense: float | None) -> JoinedChoice:
    curves = points.curves(options.damage, dense_seconds=dense)
    if options.damage_limit is not None:
        return joined(curves, damage=options.damage_limit)
    limit = options.seconds if options.seconds is not None else (options.flops or 0.0) * (
        points.dense_flops)
    return joined(curves, cost=limit)


def _cross(points: JoinedPoints, damage: str) -> dict[str, Any]:
    found = points.cross(damage)
    return {"mean": found.mean.tolist(), "stderr": np.nan_to_num(found.stderr).tolist(),
            "share": found.share, "share_stderr": float(np.nan_to_num(found.share_stderr))}


def _measured(run: Calibration, best: JoinedPoint, progress: Progress) -> dict[str, float]:
    """The damage at the choice itself, which was interpolated before."""
    said: list[Reference]
    said, _ = references(run.watching, run.asked, run.reference)
    with pruned(run.watching, run.prompts, run.budget_of(best.sparsity),
                method=run.options.method):
        done = answers(run.watching, run.asked, said, [best.tokens], label="check",
                       progress=progress)
    table = done.kl if run.options.damage == "kl" else done.loss
    mean, error = spread(by_group(table, [one.video for one in run.asked]))
    return {"damage": float(mean[0]), "stderr": float(error[0])}


def _draw(points: JoinedPoints, options: JoinedOptions, dense: float | None,
          choice: JoinedChoice, path: Path) -> None:
    curves = points.curves(options.damage, dense_seconds=dense)
    figure = report.joined(surface(curves), curves, choice)
    with write_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=150, facecolor="white")


def _write(run: Calibration, best: JoinedPoint, found: dict[str, Any], path: Path) -> None:
    who = ModelIdentity(**identity(run.watching.model))
    how = run.options.settings()
    weights: Budget = run.budget_of(best.sparsity)
    notes: dict[str, Any] = {name: found[name] for name in ("unit", "damage", "choice", "measured")
                             if name in found}
    notes["cross_share"] = [found["cross"]["share"], found["cross"]["share_stderr"]]
    write_budgets(path, joined_budgets(
        best, weights, most=run.most, model=who, notes=notes,
        options={**run.options.goal(), "watch": how["watch"],
                 "calibration": {**how["calibration"], "tokens": list(run.tokens)}}))


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """What a user reads first, of what ``curves.json`` holds."""
    dense = found.get("dense_seconds", found["dense_flops"])
    choice = {name: None if one is None else {**one, "of_dense": one["cost"] / dense}
              for name, one in found["choice"].items()}
    return {"unit": found["unit"], "damage": found["damage"], "dense": dense, **choice,
            "measured": found.get("measured"),
            "additivity": {name: found["cross"][name] for name in ("share", "share_stderr")},
            "questions": len(found["videos"]), "videos": len(set(found["videos"])),
            "reference_tokens": found["reference_tokens"]}


def video_budget_cost(options: JoinedOptions, questions: str | Path) -> dict[str, Any]:
    """What will be asked, its seconds and memory, from the speed of one product; nothing runs.

    Raises
    ------
    NeurosparseError
        As for ``read_questions``, ``index_video`` and ``models.resolve``.
    """
    drawn = drawn_questions(read_questions(questions, labelled=options.labelled), options.limit,
                            options.seed)
    videos = list(dict.fromkeys(one.video for one in drawn))
    first = video_cost(options.watch, str(videos[0]))
    tokens, speed = options.tokens or LADDER, matmul_speed()
    # A ladder that is not known yet: of the tokens that frames usually hold.
    top = options.reference or (options.tokens or (196 * first["frames"],))[-1]
    reads = sum(tokens) if options.tokens else top * sum(LADDER)
    passes = len(options.sparsities) + options.check
    seconds = {"points": 2 * first["parameters"] * passes * len(drawn) * (
        reads + _QUESTION * len(tokens)) / speed,
        "score": passes * len(drawn) * first["seconds"].get("score", 0.0)}
    return {"model": options.watch.model, "parameters": first["parameters"],
            "questions": len(drawn), "videos": len(videos), "frames": first["frames"],
            "points": len(tokens) * len(options.sparsities), "sparsities": list(options.sparsities),
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            # A second copy of the weights stands by while they are pruned.
            "memory_bytes": int(first["memory_bytes"] + 4 * first["parameters"])}
