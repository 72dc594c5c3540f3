"""Prune in steps and learn under the mask, or learn alone (``neurosparse adapt``)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import torch

from neurosparse import kernels, report
from neurosparse.adaptation import LosaOptions, LosaResult, losa, recover
from neurosparse.adaptation.recovery import check_teacher
from neurosparse.errors import InputError
from neurosparse.files import write_json, write_text, write_whole
from neurosparse.measure import Perplexity, paired_difference, perplexity
from neurosparse.measure.dense_twin import dense_twin
from neurosparse.models import load, products_of
from neurosparse.pipeline.adapt_options import AdaptOptions, Windows, gather_windows
from neurosparse.pipeline.adapt_saving import save_adapted
from neurosparse.pipeline.opening import Opened, open_model
from neurosparse.progress import Progress, silent
from neurosparse.records import RunRecord, check_same
from neurosparse.sparse import is_packed

_WORK, _LOG = ".work", "losses.jsonl"


def adapt_step(options: AdaptOptions, *, resume: bool = False, overwrite: bool = False,
               progress: Progress = silent) -> dict[str, Any]:
    """Run LoSA or a recovery on a model of the disk, and leave it saved beside its record.

    Returns
    -------
    dict
        The results, as in ``run.json``.

    Raises
    ------
    NeurosparseError
        As ``losa``, ``recover``, ``open_model`` and the texts; results or unfinished work in
        ``out`` that neither ``resume`` nor ``overwrite`` is for, or of another run.
    """
    out = Path(options.out)
    if resume and (out / "run.json").is_file() and not (out / _WORK).exists():
        return _finished(options)
    _make_room(out, resume, overwrite)
    record = RunRecord("adapt", arguments=_arguments(options), level=kernels.level(),
                       seeds={"train": options.losa.train.seed},
                       threads=torch.get_num_threads())
    with record.timed("load"):
        loaded = _open(options)
        texts = gather_windows(options, loaded.tokenizer)
        teacher = _teacher(options, loaded)
    with record.timed("evaluate"):
        before = perplexity(loaded.model, texts.report, progress=progress)
    with record.timed("adapt"), _Log(out / _LOG) as log:
        done = _learn(options.losa, loaded.model, texts, teacher,
                      products_of(loaded.model, options.products), folder=out / _WORK,
                      resume=resume, progress=progress, watch=log)
    with record.timed("evaluate"):
        after = perplexity(loaded.model, texts.report, progress=progress)
    return _deliver(options, loaded, record, done, (before, after), texts, progress)


def _finished(options: AdaptOptions) -> dict[str, Any]:
    """Results of the same run, which was finished before."""
    record = RunRecord.read(Path(options.out) / "run.json")
    # Options that the record does not know are newer than it.
    now = {name: value for name, value in _arguments(options).items() if name in record.arguments}
    check_same({"command": record.command, **record.arguments, "out": ""},
               {"command": "adapt", **now, "out": ""}, Path(options.out), run="finished")
    return record.results


def _open(options: AdaptOptions) -> Opened:
    """Dense, also where it came packed: rounded once, when it is saved."""
    if options.losa.sparsity is not None and is_packed(options.model):
        raise InputError("adapt", found=f"{options.model}, a packed model",
                         expected="a dense or pruned one, where more is to go",
                         mend="Without --sparsity it learns at the sparsity that it has; or tune "
                              "packed weights with MaskedLoraConfig and PEFT (docs/adaptation.md).")
    found = open_model(options.model, dtype=options.dtype, device=options.device)
    return replace(found, model=dense_twin(found.model)) if found.packed else found


def _teacher(options: AdaptOptions, loaded: Opened) -> torch.nn.Module | None:
    """The dense model that was named, which must read as this one does."""
    if options.teacher is None:
        if options.losa.sparsity is None:
            check_teacher(loaded.model, None, options.losa.train)
        return None
    dense = load(options.teacher, dtype=options.dtype, device=options.device)
    check_teacher(loaded.model, dense.model, options.losa.train)
    words = [one.tokenizer.get_vocab() for one in (loaded, dense) if one.tokenizer is not None]
    if words[1:] and words[0] != words[1]:
        raise InputError("adapt", found=f"{options.teacher}, whose tokenizer has other words",
                         expected="the model that this one was cut from, as a teacher")
    return dense.model


def _learn(options: LosaOptions, model: torch.nn.Module, texts: Windows,
           teacher: torch.nn.Module | None, dtype: torch.dtype | None, **run: Any) -> LosaResult:
    options = replace(options, train=replace(options.train, dtype=options.train.dtype or dtype))
    if options.sparsity is not None:
        return losa(model, texts.data, calibration=texts.calibration, teacher=teacher,
                    dtype=dtype, **run, **_fields(options))
    return recover(model, texts.data, rank=options.rank, scale=options.scale, teacher=teacher,
                   dropout=options.dropout, update=options.update, train=options.train,
                   every=options.every, **run)


def _make_room(out: Path, resume: bool, overwrite: bool) -> None:
    if overwrite:
        for name in ("model", _WORK):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / "adaptation.png").unlink(missing_ok=True)  # a recovery draws none
    elif (out / "model").exists() and not (resume and (out / _WORK).exists()):
        raise InputError("adapt", found=f"results in {out}", expected="an empty folder",
                         mend="Name another with --out, or replace them with --overwrite.")
    elif (out / _WORK).exists() and not resume:
        raise InputError("adapt", found=f"unfinished work in {out}", expected="an empty folder",
                         mend="Go on with --resume, or discard it with --overwrite.")
    out.mkdir(parents=True, exist_ok=True)


class _Log:
    """``losses.jsonl``: one line an optimiser step; steps that are done again stand there once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __call__(self, info: dict[str, Any]) -> None:
        """Write a line; at the first one those of later steps, of a run cut off, are dropped."""
        if self._file is None:
            before = self._path.read_text().splitlines() if info["step"] > 1 else []
            write_text(self._path, "".join(f"{line}\n" for line in before[: info["step"] - 1]))
            self._file = self._path.open("a")
        print(json.dumps(info), file=self._file, flush=True)

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()


def _fields(options: LosaOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in LosaOptions.__dataclass_fields__}


def _arguments(options: AdaptOptions) -> dict[str, Any]:
    plain = {name: getattr(options, name) for name in AdaptOptions.__dataclass_fields__
             if name != "losa"}
    return {**plain, **options.losa.as_dict()}


def _deliver(options: AdaptOptions, loaded: Opened, record: RunRecord, done: LosaResult,
             measured: tuple[Perplexity, Perplexity], texts: Windows, progress: Progress
             ) -> dict[str, Any]:
    out, (before, after) = Path(options.out), measured
    gap, error = paired_difference(before, after)
    parameters = sum(one.numel() for one in loaded.model.parameters())
    with record.timed("pack"):
        form, size = save_adapted(loaded.model, loaded.tokenizer, out / "model", options.values,
                                  masks=done.masks, group_size=options.group_size,
                                  progress=progress)
    first = "before" if options.losa.sparsity is None else "dense"
    record.results = {
        "sparsity": done.sparsity, "parameters": parameters, "form": form,
        first: {"perplexity": before.value, "stderr": before.stderr},
        "adapted": {"perplexity": after.value, "stderr": after.stderr},
        f"nats_above_{first}": gap, f"nats_above_{first}_stderr": error,
        "report_windows": len(texts.report), "training_windows": len(texts.data),
        "steps": [{**one, "losses": [round(loss, 5) for loss in one["losses"]]}
                  for one in done.steps],
        "bytes": size,
        "products": str(options.losa.train.dtype or products_of(loaded.model, options.products)
                        or options.dtype),
    }
    record.write(out / "run.json")
    write_json(out / "steps.json", record.results["steps"])
    if options.losa.sparsity is not None:
        with write_whole(out / "adaptation.png") as beside:
            report.adaptation(record.results["steps"]).savefig(beside, format="png", dpi=150,
                                                              facecolor="white")
    shutil.rmtree(out / _WORK, ignore_errors=True)
    return record.results
