"""What can be said against a run before any of its work is done."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from neurosparse import __version__
from neurosparse.budgets import allocate
from neurosparse.measure import sizes_only
from neurosparse.measure.rule_evidence import evidence_of
from neurosparse.models import check_length, find_targets
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.texts import Texts, digests
from neurosparse.pipeline.work import Work, check_folder
from neurosparse.pruning import Pattern, check_widths
from neurosparse.records import RunRecord, check_same

# Where things lie does not decide a result: a run out of memory may go on with --stream.
_ELSEWHERE = ("out", "stream", "hidden")


def check_asked(model: nn.Module, options: CompressOptions) -> None:
    """Refuse what the model's shapes alone forbid; its weights may be on the meta device.

    Raises
    ------
    ModelError
        The model has no decoder blocks or no linears.
    InputError
        Windows longer than the model's context, or a pattern that does not divide a linear.
    BudgetError
        An illegal budget.
    """
    targets = find_targets(model, exclude=options.exclude)
    check_length(model, options.window_length)
    if options.pattern is not None:
        check_widths(Pattern.read(options.pattern), targets)
    # A rule that needs evidence says what is wrong when it has it.
    if not options.search_step and not evidence_of(options.rule, options.sparsity,
                                                   options.rule_options):
        allocate(sizes_only(model, exclude=options.exclude), options.sparsity, rule=options.rule,
                 **options.rule_options)


def fingerprint(options: CompressOptions, model_bytes: int, texts: Texts) -> dict[str, Any]:
    """All that decides the result, bit for bit."""
    return {
        **_deciding(options.as_dict()), "exclude": list(options.exclude),
        "neurosparse": __version__, "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "model_bytes": model_bytes,
        **{f"{use}_text": identity["sha256"] for use, identity in texts.identity.items()},
    }


def _deciding(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in _ELSEWHERE}


def finished(options: CompressOptions) -> dict[str, Any] | None:
    """Results of the same run, if its folder holds them and nothing unfinished.

    Raises
    ------
    ResumeError
        They are those of another run; the message names the first difference.
    """
    path = options.folder / "run.json"
    if Work.in_folder(options.folder) or not path.is_file():
        return None
    record = RunRecord.read(path)
    texts, now = digests(options), _deciding(options.as_dict())
    # An older version had fewer options, and did what their defaults say.
    plain = CompressOptions(options.model, options.sparsity).as_dict()
    before = _deciding({**plain, **record.arguments})
    if options.export is None:  # a dense copy that lies there is more than was asked, not other
        now["export"] = before["export"]
    check_same(
        {"command": record.command, **before,
         **{f"{use}_text": found.get("sha256") for use, found in record.data.items()}},
        {"command": "compress", **now, **{f"{use}_text": text for use, text in texts.items()}},
        options.folder, run="finished")
    return record.results


def check_place(options: CompressOptions, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that cannot take the results; writes nothing.

    Raises
    ------
    InputError
        It holds results or unfinished work, and neither ``resume`` nor ``overwrite`` is for them.
    ResumeError
        The results belong to another run.
    StorageError
        It cannot be written.
    """
    if resume and finished(options) is not None:
        return
    check_folder(options.folder, resume=resume, overwrite=overwrite)
