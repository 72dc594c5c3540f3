"""Prune in steps and learn under the mask (``neurosparse adapt``)."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from neurosparse import kernels, report
from neurosparse.adaptation import LosaOptions, LosaResult, losa
from neurosparse.errors import InputError, TextError
from neurosparse.files import write_json, write_text, write_whole
from neurosparse.measure import Perplexity, paired_difference, perplexity, protocol
from neurosparse.models import (
    LoadedModel,
    load,
    load_empty,
    load_tokenizer,
    products_of,
    read_documents,
    windows,
)
from neurosparse.pipeline.plan import matmul_speed
from neurosparse.progress import Progress, silent
from neurosparse.records import RunRecord
from neurosparse.sparse import is_packed, save
from neurosparse.sparse.kinds import find_group

_WORK, _LOG = ".work", "losses.jsonl"
# Of one text that is given, the last tenth reports.
_HELD = 0.1


@dataclass(frozen=True)
class AdaptOptions:
    """What ``neurosparse adapt`` is asked for.

    Attributes
    ----------
    model, out
        What to adapt; folder of the results.
    losa
        How, see ``LosaOptions``.
    data
        Training text; by default the protocol's calibration side beyond the calibration windows.
    report_text
        Text of the reported perplexity; by default the last tenth of ``data``, or the protocol's
        report side.
    tokens
        Training tokens; all that there are by default, 50,000 of the protocol's.
    window_length, report_windows
        Tokens in a window; windows of the reported perplexity.
    values, group_size
        Of the packed model; columns that share a scale, as for ``sparse.pack``.
    dtype, device
        How the model computes.

    Raises
    ------
    InputError
        An unknown kind of values, or a size of groups that it has not.
    """

    model: str
    losa: LosaOptions
    out: str = "adapted"
    data: str | None = None
    report_text: str | None = None
    tokens: int | None = None
    window_length: int = 512
    report_windows: int = 16
    values: str = "bf16"
    group_size: int | None = None
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        find_group(self.values, self.group_size)


@dataclass(frozen=True)
class Windows:
    """Windows that learn, prune and report, int64 tensors of shape (windows, length)."""

    data: torch.Tensor
    calibration: torch.Tensor
    report: torch.Tensor


def gather_windows(options: AdaptOptions, tokenizer: Any) -> Windows:
    """Texts kept apart: what reports is never learnt from.

    Raises
    ------
    TextError
        A text is missing or too short.
    """
    length = options.window_length
    if options.data is None:
        whole = windows(tokenizer, protocol.side("calibration"), length=length)
        calibration, rest = whole[: options.losa.windows], whole[options.losa.windows :]
        held = protocol.side("report")
        tokens = options.tokens or 50_000
    else:
        whole = windows(tokenizer, read_documents(options.data), length=length)
        cut = len(whole)
        if options.report_text is None:
            if cut < 2:
                raise TextError("adapt", found=f"{options.data} of one window of {length} tokens",
                                expected="one to learn from and one to report on",
                                mend="Give more text, a --report-text, or shorter windows.")
            cut = max(1, min(cut - 1, round((1 - _HELD) * cut)))
        rest, held = whole[:cut], []
        calibration = rest[: options.losa.windows]
        tokens = options.tokens or rest.numel()
    if options.report_text is not None:
        reported = windows(tokenizer, read_documents(options.report_text), length=length)
    else:
        reported = windows(tokenizer, held, length=length) if held else whole[cut:]
    count = min(len(rest), -(-tokens // length))
    return Windows(rest[:count], calibration, reported[: options.report_windows])


def adapt_cost(options: AdaptOptions) -> dict[str, Any]:
    """What a run will do, its seconds and memory, from the speed of one matrix product.

    The texts are read, the weights are not.
    """
    model = load_empty(options.model)
    total = sum(parameter.numel() for parameter in model.parameters())
    one, train = options.losa, options.losa.train
    texts = gather_windows(options, load_tokenizer(options.model))
    tokens = texts.data.numel()
    speed = matmul_speed()
    teacher = 2 if train.taught else 0
    learns = 4 * total if one.update == "values" else 0
    masters = total * {"float32": 4, "bfloat16": 2, "float16": 2}.get(options.dtype, 4)
    passes = one.steps * 5 * one.windows * options.window_length
    if one.rule == "propagation":
        passes += 20 * one.windows * options.window_length
    return {
        "model": options.model, "parameters": total, "training_tokens": tokens,
        "optimiser_steps": len(texts.data) // train.batch_size,
        "prunings": one.steps,
        "seconds": {"prune": round(2 * total * passes / speed, 1),
                    "learn": round((6 + teacher) * total * tokens / speed, 1)},
        "memory_bytes": int(masters * (2 if train.taught or one.regrow else 1) + 3 * learns
                            + 1_500_000_000),
    }


def adapt_step(options: AdaptOptions, *, resume: bool = False, overwrite: bool = False,
               progress: Progress = silent) -> dict[str, Any]:
    """Run LoSA on a model of the disk, and leave it packed beside its record and its figure.

    Returns
    -------
    dict
        The results, as in ``run.json``.

    Raises
    ------
    NeurosparseError
        As ``losa``, ``models.load`` and the texts; results or unfinished work in ``out`` that
        neither ``resume`` nor ``overwrite`` is for.
    """
    out = Path(options.out)
    if resume and (out / "run.json").is_file() and not (out / _WORK).exists():
        return RunRecord.read(out / "run.json").results  # it was finished before
    _make_room(out, resume, overwrite)
    if is_packed(options.model):
        raise InputError("adapt", found=f"{options.model}, a packed model",
                         expected="a dense or pruned one",
                         mend="Tune packed weights with MaskedLoraConfig and PEFT "
                              "(docs/adaptation.md), or export it dense first.")
    record = RunRecord("adapt", arguments=_arguments(options), level=kernels.level(),
                       seeds={"train": options.losa.train.seed},
                       threads=torch.get_num_threads())
    with record.timed("load"):
        loaded = load(options.model, dtype=options.dtype, device=options.device)
        texts = gather_windows(options, loaded.tokenizer)
        dtype = products_of(loaded.model, "auto")
    with record.timed("evaluate"):
        before = perplexity(loaded.model, texts.report, progress=progress)
    with record.timed("adapt"), _Log(out / _LOG) as log:
        done = losa(loaded.model, texts.data, calibration=texts.calibration, dtype=dtype,
                    folder=out / _WORK, resume=resume, progress=progress, watch=log,
                    **_fields(options.losa))
    with record.timed("evaluate"):
        after = perplexity(loaded.model, texts.report, progress=progress)
    return _deliver(options, loaded, record, done, (before, after), texts, progress)


def _make_room(out: Path, resume: bool, overwrite: bool) -> None:
    if overwrite:
        for name in ("model", _WORK):
            shutil.rmtree(out / name, ignore_errors=True)
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


def _deliver(options: AdaptOptions, loaded: LoadedModel, record: RunRecord, done: LosaResult,
             measured: tuple[Perplexity, Perplexity], texts: Windows, progress: Progress
             ) -> dict[str, Any]:
    out, (before, after) = Path(options.out), measured
    gap, error = paired_difference(before, after)
    with record.timed("pack"):
        sizes = save(loaded.model, out / "model", values=options.values, masks=done.masks,
                     group_size=options.group_size, tokenizer=loaded.tokenizer,
                     progress=progress)
    record.results = {
        "sparsity": done.sparsity,
        "dense": {"perplexity": before.value, "stderr": before.stderr},
        "adapted": {"perplexity": after.value, "stderr": after.stderr},
        "nats_above_dense": gap, "nats_above_dense_stderr": error,
        "report_windows": len(texts.report), "training_windows": len(texts.data),
        "steps": [{**one, "losses": [round(loss, 5) for loss in one["losses"]]}
                  for one in done.steps],
        "bytes": sizes["folder"],
    }
    record.write(out / "run.json")
    write_json(out / "steps.json", record.results["steps"])
    with write_whole(out / "adaptation.png") as beside:
        report.adaptation(record.results["steps"]).savefig(beside, format="png", dpi=150,
                                                          facecolor="white")
    shutil.rmtree(out / _WORK, ignore_errors=True)
    return record.results
