"""Damage and cost of a video model on a ladder of token budgets and sparsities."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse.budgets import Budget, CrossTerm, JoinedCurves, cross_term
from neurosparse.errors import InputError
from neurosparse.files import write_whole
from neurosparse.measure.operations import Operations
from neurosparse.measure.video_answers import (
    Answers,
    VideoAsked,
    Watching,
    answers,
    references,
)
from neurosparse.models import Target, find_blocks, find_targets, get_weight, set_weight
from neurosparse.progress import Progress, silent
from neurosparse.pruning import prune
from neurosparse.pruning.resolve import drop_counts
from neurosparse.video import Prompt
from neurosparse.video.reading import reading

Floats = NDArray[np.float64]
DAMAGES = ("kl", "loss")


@dataclass(frozen=True)
class JoinedPoints:
    """What was measured.

    Attributes
    ----------
    tokens, sparsities
        The ladder, shapes (n,) and (s,).
    videos
        Name of each question's video.
    kl, loss, right
        As for ``Answers``, shape (n, s, questions).
    flops
        Mean operations of an answer, shape (n, s): vision, decoupling, scoring, reading, saying;
        zeros are not multiplied.
    dense_flops
        The same of the dense model with all tokens, without scoring or decoupling.
    parts
        Mean operations of the dense model: ``look`` (vision, decoupling, scoring) and ``answer`` of
        each budget.
    reference_tokens
        With which the references were shown the videos: mean.
    seconds
        Of an answer, shape (n, s), NaN where nobody looked at the clock.
    """

    tokens: tuple[int, ...]
    sparsities: tuple[float, ...]
    videos: tuple[str, ...]
    kl: Floats
    loss: Floats
    right: Floats
    flops: Floats
    dense_flops: float
    parts: dict[str, Any]
    reference_tokens: float
    seconds: Floats

    def by_video(self, damage: str = "kl") -> Floats:
        """Damage of each video, the mean over its questions, shape (n, s, videos).

        Raises
        ------
        InputError
            Another word than ``kl`` and ``loss``, or ``loss`` where answers are unknown.
        """
        if damage not in DAMAGES:
            raise InputError("join budgets", found=f"damage {damage!r}",
                             expected=" or ".join(DAMAGES))
        table = self.kl if damage == "kl" else self.loss
        if damage == "loss" and np.isnan(table).any():
            raise InputError("join budgets", found="questions without a right answer",
                             expected="options and an answer in every record, for damage 'loss'",
                             mend="Take damage 'kl', which needs none.")
        return by_group(table, self.videos)

    def curves(self, damage: str = "kl", *, dense_seconds: float | None = None) -> JoinedCurves:
        """For a choice: by operations, or by seconds where those of the dense model are given."""
        flops = dense_seconds is None
        return JoinedCurves(
            np.array(self.tokens), np.array(self.sparsities),
            self.by_video(damage).mean(axis=2), self.flops if flops else self.seconds,
            "flops" if flops else "seconds",
            self.dense_flops if dense_seconds is None else dense_seconds)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: means with their errors over videos, and every answer."""
        found: dict[str, Any] = {
            "tokens": list(self.tokens), "sparsities": list(self.sparsities),
            "flops": self.flops.tolist(), "dense_flops": self.dense_flops, "parts": self.parts,
            "reference_tokens": self.reference_tokens, "videos": list(self.videos)}
        if not np.isnan(self.seconds).any():
            found["seconds"] = self.seconds.tolist()
        for name in ("kl", "loss", "right"):
            table = getattr(self, name)
            if np.isnan(table).any():
                continue
            mean, error = spread(by_group(table, self.videos))
            found[name] = {"mean": mean.tolist(), "stderr": error.tolist(),
                           "answers": np.round(table, 6).tolist()}
        return found

    def cross(self, damage: str = "kl") -> CrossTerm:
        """How far the damages do not add up."""
        return cross_term(self.by_video(damage))


def by_group(table: Floats, names: Sequence[str]) -> Floats:
    """Means over the last axis by name, in the order in which names come first."""
    first = list(dict.fromkeys(names))
    where = np.array([first.index(name) for name in names])
    return np.stack([table[..., where == i].mean(axis=-1) for i in range(len(first))], axis=-1)


def spread(table: Floats) -> tuple[Floats, Floats]:
    """Mean over the last axis and its standard error, zero where there is one value."""
    count = table.shape[-1]
    error = (table.std(axis=-1, ddof=1) / np.sqrt(count) if count > 1
             else np.zeros(table.shape[:-1]))
    return table.mean(axis=-1), np.asarray(error, float)


@contextmanager
def pruned(watching: Watching, prompts: Sequence[Prompt], budget: Budget, *,
           method: str = "wanda", progress: Progress = silent) -> Iterator[None]:
    """Inside, the model is pruned by a budget, calibrated on prompts; then it is dense again.

    Holds a second copy of the decoder's weights.
    """
    model = watching.model
    before = {target: get_weight(model, target).detach().clone()
              for target in find_targets(model)}
    try:
        if budget.total.kept > 0:
            with reading(model, watching.family, prompts) as numbers:
                prune(model, budget, numbers, method=method, batch_size=1, progress=progress)
        yield
    finally:
        for target, weight in before.items():
            set_weight(model, target, weight)


def joined_points(
    watching: Watching, asked: Sequence[VideoAsked], *, tokens: Sequence[int],
    sparsities: Sequence[float], budget_of: Callable[[float], Budget],
    prompts: Sequence[Prompt], reference: int | None = None, method: str = "wanda",
    folder: str | Path | None = None, mark: str = "",
    clock: Callable[[float], Floats] | None = None, progress: Progress = silent,
) -> JoinedPoints:
    """Measure damage at every point of the ladder, and count operations.

    Parameters
    ----------
    watching
        With the dense model; it is dense again afterwards.
    asked
        Calibration questions.
    tokens, sparsities
        The ladder; sparsities begin with 0.
    budget_of
        The budget of a sparsity.
    prompts
        What pruning is calibrated on: :func:`calibration_prompts`.
    reference
        All tokens of a video; the model's own number where None.
    method
        Of pruning.
    folder
        Where finished sparsities are kept, so that a run that was cut goes on after them.
    mark
        Says what else the results depend on; files of another mark are measured again.
    clock
        Called with each sparsity while the model is pruned to it; gives seconds of an answer
        within each budget.
    progress
        Called on the way.

    Raises
    ------
    InputError
        No questions, or a ladder that does not begin with sparsity 0.
    """
    if not asked or not tokens or not sparsities or sparsities[0] != 0:
        raise InputError("join budgets", found=f"{len(asked)} questions, tokens {list(tokens)}, "
                         f"sparsities {list(sparsities)}",
                         expected="one question or more, and levels that begin with sparsity 0")
    targets = find_targets(watching.model)
    said, whole = references(watching, asked, reference, count=True, progress=progress)
    levels: list[_Level] = []
    for sparsity in sparsities:
        def measure(sparsity: float = sparsity) -> _Level:
            label = f"sparsity {sparsity:g}"
            with pruned(watching, prompts, budget_of(sparsity), method=method,
                        progress=progress):
                done = answers(watching, asked, said, tokens, progress=progress, label=label,
                               targets=targets if sparsity == 0 else None)
                return _Level(done, np.full(len(tokens), np.nan) if clock is None
                              else clock(sparsity))

        levels.append(_kept(folder, f"{mark} {list(tokens)} {sparsity!r} {clock is not None}",
                            sparsity, measure))
    spent = levels[0].answers.operations
    flops = _flops(spent, sparsities, watching, targets, budget_of) / len(asked)
    kl, loss, right = (np.stack([getattr(level.answers, name) for level in levels], axis=1)
                       for name in ("kl", "loss", "right"))
    return JoinedPoints(
        tokens=tuple(int(one) for one in tokens),
        sparsities=tuple(float(one) for one in sparsities),
        videos=tuple(one.video for one in asked), kl=kl, loss=loss, right=right, flops=flops,
        dense_flops=whole.dense / len(asked),
        parts={"look": spent[0].dense / len(asked),
               "answer": [one.dense / len(asked) for one in spent[1:]]},
        reference_tokens=float(np.mean([one.tokens for one in said])),
        seconds=np.stack([level.seconds for level in levels], axis=1))


@dataclass(frozen=True)
class _Level:
    answers: Answers
    seconds: Floats


def _flops(spent: Sequence[Operations], sparsities: Sequence[float], watching: Watching,
           targets: Sequence[Target], budget_of: Callable[[float], Budget]) -> Floats:
    """Operations of all questions, shape (n, s)."""
    blocks = find_blocks(watching.model)
    dropped = [drop_counts(budget_of(one), targets, blocks) for one in sparsities]
    return np.array([[float((spent[0] + one).without(counts)) for counts in dropped]
                     for one in spent[1:]])


def _kept(folder: str | Path | None, mark: str, sparsity: float,
          measure: Callable[[], _Level]) -> _Level:
    """A level from its file, where that is of this very run; else measured, and kept."""
    if folder is None:
        return measure()
    path = Path(folder) / f"sparsity-{sparsity:g}.npz"
    digest = hashlib.sha256(mark.encode()).hexdigest()
    if path.is_file():
        with np.load(path) as file:
            if str(file["mark"]) == digest:
                return _Level(Answers(file["kl"], file["loss"], file["right"],
                                      _operations(file)), file["seconds"])
    level = measure()
    done = level.answers
    path.parent.mkdir(parents=True, exist_ok=True)
    # Looking alone runs no decoder where nobody scores.
    names = sorted({name for one in done.operations for name in one.rows})
    with write_whole(path) as beside, open(beside, "wb") as handle:
        np.savez(handle, mark=digest, kl=done.kl, loss=done.loss, right=done.right,
                 seconds=level.seconds, names=np.array(names),
                 dense=np.array([one.dense for one in done.operations]),
                 rows=np.array([[one.rows.get(name, 0) for name in names]
                                for one in done.operations]))
    return level


def _operations(file: Any) -> tuple[Operations, ...]:
    names = [str(name) for name in file["names"]]
    return tuple(
        Operations(int(dense), dict(zip(names, map(int, rows), strict=True)))
        for dense, rows in zip(file["dense"], file["rows"], strict=True))


__all__ = ["DAMAGES", "JoinedPoints", "by_group", "joined_points", "pruned", "spread"]
