"""The main job: a real model in, a smaller one that works out.

The way of the data: model + text -> Profile -> Budget -> prune -> pack -> evaluate -> report.
Every stage leaves its result in the work folder; a resumed run starts after the last of them.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurosparse import kernels, report
from neurosparse.budgets import Budget, Profile, allocate
from neurosparse.measure import DepthErrors, profile, sizes_only
from neurosparse.measure.rule_evidence import evidence_of
from neurosparse.models import (
    LoadedModel,
    find_blocks,
    find_targets,
    load,
    nan_check,
    products_of,
)
from neurosparse.pipeline.asked import check_asked, fingerprint, finished
from neurosparse.pipeline.evaluate import evaluate_alone, write_windows
from neurosparse.pipeline.export import export_dense
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.pack import pack_model
from neurosparse.pipeline.plan import draws_curves, wants_streaming
from neurosparse.pipeline.results import assemble
from neurosparse.pipeline.search_step import search_step
from neurosparse.pipeline.texts import Texts, gather
from neurosparse.pipeline.work import Work, check_folder
from neurosparse.progress import Progress, silent
from neurosparse.pruning import BlockFiles, Refit, prune
from neurosparse.records import RunRecord

_PROMPT_TOKENS = 256


@dataclass
class CompressResult:
    """What the main job left in its folder.

    Attributes
    ----------
    folder
        ``model/``, ``profile.h5``, ``budget.json``, ``run.json``, ``report.html``.
    results
        The table and what belongs to it, as in ``run.json``.
    """

    folder: Path
    results: dict[str, Any]

    @property
    def budget(self) -> Budget:
        """The budget that was used."""
        return Budget.read(self.folder / "budget.json")

    @property
    def profile(self) -> Profile:
        """The profile that was measured."""
        return Profile.read(self.folder / "profile.h5")

    def load(self, **options: Any) -> Any:
        """The packed model (``sparse.load``)."""
        from neurosparse import sparse

        return sparse.load(self.folder / "model", **options)


def compress(
    model: str, sparsity: float, *, out: str = "out", resume: bool = False,
    overwrite: bool = False, progress: Progress = silent, **options: Any,
) -> CompressResult:
    """Prune, pack, evaluate and report, as ``neurosparse compress`` does.

    Parameters
    ----------
    model
        Folder or hub id of transformers, ``.gguf`` file, or alias (``smollm2``).
    sparsity
        Share of the parameters of the blocks' linears to take away, in [0, 1).
    out
        Folder of the results; nothing appears in it before everything is there.
    resume, overwrite
        Go on with unfinished work in ``out``, or return what the same run has finished there; or
        discard what ``out`` holds.
    options
        The other fields of ``CompressOptions``.

    Returns
    -------
    CompressResult

    Raises
    ------
    NeurosparseError
        Of the kind that says what was wrong: see docs/errors.md.
    """
    job = _Job(CompressOptions(model=model, sparsity=sparsity, out=out, **options), progress)
    return job.run(resume=resume, overwrite=overwrite)


class _Job:
    """One run: the options, the work folder, and the stages in order."""

    def __init__(self, options: CompressOptions, progress: Progress) -> None:
        self.options = options
        self.progress = progress
        arguments = options.as_dict()
        self.record = RunRecord("compress", arguments=arguments, seeds={"windows": options.seed},
                                level=kernels.level(), threads=torch.get_num_threads())
        self.stream = wants_streaming(options)

    def run(self, *, resume: bool, overwrite: bool) -> CompressResult:
        options, record = self.options, self.record
        if resume and (results := finished(options)) is not None:
            return CompressResult(options.folder, results)
        check_folder(options.folder, resume=resume, overwrite=overwrite)
        with record.timed("load"):
            loaded = load(options.model, dtype=options.dtype, device=options.device,
                          stream=self.stream)
            if not self.stream:
                nan_check(loaded.model, find_targets(loaded.model, exclude=options.exclude))
            # What is wrong must show before an hour of profiling, not after it.
            check_asked(loaded.model, options)
            texts = gather(options, loaded.tokenizer)
        record.data = texts.identity
        work = Work(options.folder, fingerprint(options, loaded.source.bytes, texts),
                    resume=resume, overwrite=overwrite)
        self._decide(work, loaded, texts)
        self._prune(work, loaded, texts)
        sizes = self._pack(work, loaded)
        # The evaluations run alone in processes of their own: give the memory back first.
        del loaded
        gc.collect()
        rows = self._evaluate(work, texts)
        with record.timed("report"):
            record.results = assemble(options, work, rows, sizes, texts)
            record.write(work.path("run.json"))
            report.write(work.folder)
        work.deliver()
        return CompressResult(options.folder, record.results)

    def _decide(self, work: Work, loaded: LoadedModel, texts: Texts) -> None:
        """Profile and budget."""
        options = self.options
        if not work.path("profile.h5").is_file():
            with self.record.timed("profile"):
                needed = [] if options.search_step else evidence_of(
                    options.rule, options.sparsity, options.rule_options,
                    folder=work.path("propagation"), products=options.products)
                targets = find_targets(loaded.model, exclude=options.exclude)
                drawn = draws_curves(targets, texts.calibration.numel())
                found = profile(
                    loaded.model, texts.calibration,
                    evidence=[*(["curves"] if drawn else []), *needed],
                    method=options.method,
                    exclude=options.exclude, calibration=texts.identity["calibration"],
                    batch_size=options.batch_size, store=options.hidden,
                    folder=str(work.path("hidden")), progress=self.progress,
                    dtype=products_of(loaded.model, options.products),
                )
                found.write(work.path("profile.h5"))
        if not work.path("budget.json").is_file():
            choice = options.rule_options
            if options.search_step:
                with self.record.timed("search step"):
                    choice = {"step": search_step(options, work, texts, sizes_only(
                        loaded.model, exclude=options.exclude), self.progress)}
            measured = Profile.read(work.path("profile.h5"))
            budget = allocate(measured, options.sparsity, rule=options.rule,
                              multiple=options.multiple, **choice)
            budget.write(work.path("budget.json"))

    def _prune(self, work: Work, loaded: LoadedModel, texts: Texts) -> None:
        options, files = self.options, BlockFiles(work.path("blocks"))
        if work.noted("prune") is not None:
            if not self.stream:
                for index, block in enumerate(find_blocks(loaded.model).modules):
                    files.put_back(index, block, ())
            return
        depth = DepthErrors()
        with self.record.timed("prune"):
            done = prune(
                loaded.model, Budget.read(work.path("budget.json")), texts.calibration,
                method=options.method, batch_size=options.batch_size, store=options.hidden,
                refit=None if options.refit is None else Refit(strength=options.refit),
                pattern=options.pattern, keep_zeros=options.keep_zeros,
                folder=str(work.path("hidden")), observers=[depth], keeper=files,
                dtype=products_of(loaded.model, options.products),
                progress=self.progress,
            )
        measured = Profile.read(work.path("profile.h5"))
        measured.depth = depth.relative_error
        measured.write(work.path("profile.h5"))
        work.note("prune", {"sparsity": done.sparsity, "size": done.size,
                            "dropped": sum(done.dropped.values()), "notes": done.notes})

    def _pack(self, work: Work, loaded: LoadedModel) -> list[dict[str, Any]]:
        options, sizes = self.options, work.noted("pack")
        with self.record.timed("pack"):
            if sizes is None:
                sizes = pack_model(loaded, work, options, self.progress)
                work.note("pack", sizes)
            if options.export == "dense" and not work.path("dense").is_dir():
                export_dense(loaded, work, options.values, self.progress)
        found: list[dict[str, Any]] = sizes
        return found

    def _progress_of(self, stage: str) -> Progress:
        return lambda label, done, total: self.progress(f"{stage}: {label}", done, total)

    def _evaluate(self, work: Work, texts: Texts) -> dict[str, dict[str, Any]]:
        """Dense, dense in bf16 (speed alone), and the packed model as it lies on disk."""
        options = self.options
        both, prompt = work.path("report.safetensors"), work.path("prompt.safetensors")
        start = texts.calibration[:1, :_PROMPT_TOKENS]
        write_windows(both, report=texts.report, prompt=start)
        write_windows(prompt, prompt=start)
        common = ["--device", options.device]
        whole = ["--stream"] if self.stream else []
        jobs: dict[str, tuple[str, Path, list[str]]] = {
            "dense": (options.model, both, ["--dtype", options.dtype, *whole]),
            "packed": (str(work.path("model")), both, ["--dtype", options.dtype]),
        }
        if options.dtype == "float32" and not self.stream:
            jobs["dense bf16"] = (options.model, prompt, ["--dtype", "bfloat16"])
        rows: dict[str, dict[str, Any]] = {}
        for name, (model, windows, arguments) in jobs.items():
            stage = f"evaluate {name}"
            found = work.noted(stage)
            if found is None:
                with self.record.timed(stage):
                    found = evaluate_alone(model, windows, [*common, *arguments],
                                           progress=self._progress_of(stage))
                work.note(stage, found)
            rows[name] = found
        return rows
