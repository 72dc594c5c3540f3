"""The stages of the main job one by one: profile a model, prune it by a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurosparse import kernels
from neurosparse.budgets import Budget, Profile, check_budget, read_budgets
from neurosparse.errors import InputError
from neurosparse.measure import Collector, Cost, profile, profile_cost
from neurosparse.measure.rule_evidence import collector_of, evidence_of
from neurosparse.models import identity, load, load_empty, products_of
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.texts import gather
from neurosparse.progress import Progress, silent
from neurosparse.pruning import PruneReport, Refit, prune
from neurosparse.records import RunRecord, record_beside
from neurosparse.sparse import save
from neurosparse.sparse.kinds import find_group


@dataclass(frozen=True)
class StepOptions:
    """Model and calibration text of a single stage.

    Attributes
    ----------
    model
        Folder or hub id, ``.gguf`` file, or alias.
    calibration
        Text file, JSON lines or datasets name; the protocol's text by default.
    windows, window_length, seed
        Calibration windows, tokens in each, and the seed that draws them (else the first).
    method
        Pruning method.
    exclude
        Glob patterns of linears to leave alone.
    dtype, device, batch_size, stream
        How the model computes.
    products
        ``"auto"``: calibration multiplies in bfloat16 where that is fast; ``"own"``: in ``dtype``.
    """

    model: str
    calibration: str | None = None
    windows: int = 32
    window_length: int = 512
    seed: int | None = None
    method: str = "wanda"
    exclude: tuple[str, ...] = ()
    dtype: str = "float32"
    device: str = "cpu"
    batch_size: int = 8
    stream: bool = False
    products: str = "auto"

    def full(self) -> CompressOptions:
        """The same as options of the whole job, whose checks they pass."""
        return CompressOptions(
            model=self.model, sparsity=0.5, rule="uniform", calibration=self.calibration,
            windows=self.windows, window_length=self.window_length, seed=self.seed,
            method=self.method, exclude=self.exclude, dtype=self.dtype, device=self.device,
            batch_size=self.batch_size, stream=self.stream, products=self.products,
            report_windows=1)


def evidence_wanted(rules: Sequence[str], evidence: Sequence[str], up_to: float,
                    folder: str | Path | None = None, products: str = "auto"
                    ) -> list[str | Collector]:
    """Evidence named and evidence that rules need, each kind once.

    Parameters
    ----------
    up_to
        Greatest sparsity that ``propagation`` will be asked for.
    folder
        Where it keeps finished points, for resuming.
    products
        In which type it is computed.

    Raises
    ------
    BudgetError
        Unknown rule.
    InputError
        Nothing is asked for.
    """
    wanted: dict[str, str | Collector] = {}
    for name in evidence:
        wanted[name] = collector_of(name, up_to, folder, products)
    for rule in rules:
        # The step that needs evidence is the predicted one.
        given = {"step": "predicted"} if rule == "arithmetic" else {}
        for one in evidence_of(rule, up_to, given, folder=folder, products=products):
            wanted[one if isinstance(one, str) else one.name] = one
    if not wanted:
        raise InputError("profile", found=f"rules {list(rules)} and no evidence",
                         expected="something to measure",
                         mend="Name --rule or --evidence; these rules measure nothing.")
    return list(wanted.values())


def profile_step_cost(options: StepOptions, evidence: Sequence[str | Collector]) -> Cost:
    """What ``profile_step`` would cost; the model's weights are not read."""
    return profile_cost(load_empty(options.model), evidence, windows=options.windows)


def profile_step(options: StepOptions, evidence: Sequence[str | Collector], out: str | Path, *,
                 progress: Progress = silent) -> Profile:
    """Measure a model and write its profile, with its record (``neurosparse profile``).

    Raises
    ------
    NeurosparseError
        As ``measure.profile``, ``models.load`` and the texts.
    """
    names = [one if isinstance(one, str) else one.name for one in evidence]
    record = _begun("profile", options, evidence=names, out=str(out))
    with record.timed("load"):
        loaded = load(options.model, dtype=options.dtype, device=options.device,
                      stream=options.stream)
        texts = gather(options.full(), loaded.tokenizer)
    record.data = texts.identity
    with record.timed("profile"):
        found = profile(loaded.model, texts.calibration, evidence=evidence, method=options.method,
                        exclude=options.exclude, calibration=texts.identity["calibration"],
                        batch_size=options.batch_size, progress=progress,
                        dtype=products_of(loaded.model, options.products))
    found.write(out)
    record.write(record_beside(out))
    return found


def prune_step(options: StepOptions, budget: str | Path, out: str | Path, *, values: str = "bf16",
               group_size: int | None = None, refit: float | None = None,
               pattern: str | None = None, keep_zeros: bool = False, force: bool = False,
               progress: Progress = silent) -> PruneReport:
    """Prune a model by a budget file and write it packed, with its record (``neurosparse prune``).

    Parameters
    ----------
    group_size
        Columns that share a scale, as for ``sparse.pack``.
    refit
        Strength of the re-fit of the kept weights; None leaves them as they are.
    pattern, keep_zeros
        As in ``pruning.prune``.
    force
        Prune even if the budget was made for another model.

    Raises
    ------
    BudgetError
        The budget is for another model, or does not fit this one.
    InputError
        ``out`` exists; an unknown kind of values, or a size of groups that it has not.
    """
    find_group(values, group_size)
    if Path(out).exists():
        raise InputError("prune", found=f"{out} exists", expected="a new folder")
    chosen = weights_budget(budget)
    record = prune_record(options, budget=str(budget), out=str(out), values=values,
                          group_size=group_size, refit=refit, pattern=pattern,
                          keep_zeros=keep_zeros)
    with record.timed("load"):
        loaded = load(options.model, dtype=options.dtype, device=options.device)
        check_budget(chosen, model=identity(loaded.model), force=force)
        texts = gather(options.full(), loaded.tokenizer)
    record.data = texts.identity
    with record.timed("prune"):
        done = prune(loaded.model, chosen, texts.calibration, method=options.method,
                     batch_size=options.batch_size, progress=progress, pattern=pattern,
                     keep_zeros=keep_zeros, refit=None if refit is None else Refit(strength=refit),
                     dtype=products_of(loaded.model, options.products))
    with record.timed("save"):
        save(loaded.model, out, values=values, group_size=group_size, tokenizer=loaded.tokenizer,
             budget=chosen, progress=progress)
    write_pruned(record, done, out)
    return done


def prune_record(options: StepOptions, **arguments: Any) -> RunRecord:
    """The record of a ``prune`` that begins."""
    return _begun("prune", options, **arguments)


def _begun(command: str, options: StepOptions, **arguments: Any) -> RunRecord:
    return RunRecord(command, level=kernels.level(), threads=torch.get_num_threads(),
                     seeds={"windows": options.seed}, arguments={**vars(options), **arguments})


def write_pruned(record: RunRecord, done: PruneReport, out: str | Path) -> None:
    """Close the record with what was pruned, beside the model."""
    record.results = {"size": done.size, "dropped": sum(done.dropped.values()),
                      "sparsity": done.sparsity, "notes": done.notes}
    record.write(Path(out) / "run.json")


def weights_budget(path: str | Path) -> Budget:
    """The budget of a file; of a file of several (a joined one) that of the weights.

    Raises
    ------
    NeurosparseError
        As for ``read_budgets``; several budgets, none of them of kind ``"sparsity"``.
    """
    found = read_budgets(path)
    return found[0] if len(found) == 1 else Budget.read(path, kind="sparsity")
