"""A video model pruned on what it reads: prompts with frames in them (``prune --questions``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosparse.budgets import check_budget, read_budgets
from neurosparse.errors import InputError
from neurosparse.models import identity, products_of
from neurosparse.pipeline.steps import StepOptions, prune_record, weights_budget, write_pruned
from neurosparse.pipeline.video_calibration import Calibration, JoinedOptions
from neurosparse.pipeline.video_session import VideoOptions
from neurosparse.progress import Progress, silent
from neurosparse.pruning import PruneReport, Refit, prune
from neurosparse.sparse import save
from neurosparse.sparse.kinds import find_group
from neurosparse.video.reading import reading


def video_prune_step(
    options: StepOptions, budget: str | Path, questions: str | Path, out: str | Path, *,
    values: str = "bf16", group_size: int | None = None, refit: float | None = None,
    pattern: str | None = None, keep_zeros: bool = False, force: bool = False,
    progress: Progress = silent,
) -> PruneReport:
    """Prune the decoder of a video model and write it packed, with its image processor.

    A budget file of ``video budget`` says how videos are watched and which questions, so that the
    masks are those that were measured, given the same questions.

    Parameters
    ----------
    options
        Model, method, type and device; its calibration text is not read, and where the file does
        not say how many questions, ``windows`` does.
    budget
        File with a budget of the weights.
    questions
        As for ``video_budget``.
    out, values, group_size, refit, pattern, keep_zeros, force, progress
        As for ``prune_step``.

    Raises
    ------
    NeurosparseError
        As for ``prune_step``, ``read_questions`` and ``VideoSession``.
    """
    find_group(values, group_size)
    if Path(out).exists():
        raise InputError("prune", found=f"{out} exists", expected="a new folder")
    chosen = weights_budget(budget)
    how, notes = _how(options, budget)
    record = prune_record(options, budget=str(budget), questions=str(questions), out=str(out),
                          values=values, group_size=group_size, refit=refit, pattern=pattern,
                          keep_zeros=keep_zeros)
    run = Calibration(how, questions)
    model = run.watching.model
    check_budget(chosen, model=identity(model), force=force)
    with record.timed("read"):
        run.prepare(rule=False, progress=progress)
    with record.timed("prune"), reading(model, run.watching.family, run.prompts) as numbers:
        done = prune(model, chosen, numbers, method=options.method, batch_size=1,
                     progress=progress, pattern=pattern, keep_zeros=keep_zeros,
                     refit=None if refit is None else Refit(strength=refit),
                     dtype=products_of(model, "own"))
    with record.timed("save"):
        save(model, out, values=values, group_size=group_size, tokenizer=run.watching.processor,
             budget=chosen, progress=progress)
    done.notes += notes
    write_pruned(record, done, out)
    return done


def _how(options: StepOptions, budget: str | Path) -> tuple[JoinedOptions, list[str]]:
    """How videos are watched, of the file where it says so; and what differs from it."""
    told: dict[str, Any] = next((one.rule.options for one in read_budgets(budget)
                                 if one.kind == "tokens" and one.rule.name == "joined"), {})
    watch = {**told.get("watch", {}), "model": options.model, "token_budget": 1,
             "dtype": options.dtype, "device": options.device}
    asked = told.get("calibration", {})
    notes = []
    if asked and asked["method"] != options.method:
        notes.append(f"the budget was measured with {asked['method']} and not with "
                     f"{options.method}")
    return JoinedOptions(
        VideoOptions(**watch), flops=1.0, method=options.method,
        tokens=tuple(asked["tokens"]) if asked else None,
        calibration=asked.get("calibration", options.windows),
        limit=asked.get("limit"), seed=asked.get("seed", 0)), notes
