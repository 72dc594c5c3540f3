"""Cut heads and neurons out of a model of the disk (``neurosparse prune --structured``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurosparse import kernels
from neurosparse.budgets import Budget, check_budget, check_sparsity, evidence_for
from neurosparse.errors import InputError
from neurosparse.files import write_whole_folder
from neurosparse.measure import Perplexity, perplexity, protocol
from neurosparse.models import (
    LoadedModel,
    find_targets,
    identity,
    load,
    products_of,
    windows,
)
from neurosparse.models.quiet import quiet
from neurosparse.pipeline.steps import StepOptions
from neurosparse.pipeline.stored import kind_of_source, round_to
from neurosparse.pipeline.structured_checks import (
    check_cut,
    check_new,
    even_folder,
)
from neurosparse.pipeline.structured_rates import rates_by_rule
from neurosparse.pipeline.texts import gather
from neurosparse.progress import Progress, silent
from neurosparse.pruning.structured import (
    METRICS,
    StructuredReport,
    block_influence,
    check_units,
    drop_blocks,
    find_groups,
    least_influence,
    prune_structured,
)
from neurosparse.pruning.structured.compensate import find_way
from neurosparse.records import RunRecord
from neurosparse.sparse import export_even, save_uneven
from neurosparse.sparse.kinds import find_kind
from neurosparse.sparse.uneven import is_uneven


@dataclass(frozen=True)
class StructuredOptions:
    """How structures are cut.

    Attributes
    ----------
    rate
        Share of the parameters of the blocks' linears; or None, where a budget is given, or where
        only whole blocks go.
    budget
        File: rates of linears or blocks, or how many heads and neurons stay.
    rule
        Who gives how much, without a budget file.
    metric
        One of ``pruning.structured.METRICS``.
    compensate
        ``"least_squares"``, ``"bias"`` or ``"none"``.
    heads
        ``"groups"``: key-value groups whole; ``"queries"``: query heads inside every group.
    experts
        Whole experts in place of neurons inside them.
    round_to
        Neurons that stay are a multiple of it.
    export
        ``"even"``: also pad to a shape that stock classes load, beside the cut model.
    report_windows
        Windows of the perplexity before and after; 0 measures none.
    blocks
        Whole decoder blocks to drop first, those of least influence; the rate is of what is left.

    Raises
    ------
    InputError, BudgetError
        Neither a rate nor a budget nor blocks, or a rate and a budget; an unknown word or rule.
    """

    rate: float | None = None
    budget: str | None = None
    rule: str = "propagation"
    metric: str = "flap"
    compensate: str = "least_squares"
    heads: str = "queries"
    experts: bool = False
    round_to: int = 1
    export: str | None = None
    report_windows: int = 16
    blocks: int = 0

    def __post_init__(self) -> None:
        given = (self.rate is not None) + (self.budget is not None)
        if given > 1 or self.blocks < 0 or not given + self.blocks:
            raise InputError("prune --structured", found=f"rate {self.rate}, budget {self.budget}, "
                             f"blocks {self.blocks}",
                             expected="one of the two; alone or with them blocks, not negative")
        if self.rate is not None:
            check_sparsity(self.rate, "prune --structured")
        if self.metric not in METRICS or self.export not in (None, "even"):
            raise InputError("prune --structured",
                             found=f"metric {self.metric!r}, export {self.export!r}",
                             expected=f"metric {', '.join(METRICS)}; export even")
        find_way(self.compensate)
        check_units("prune --structured", self.heads, self.round_to)
        if self.rate is not None:
            evidence_for(self.rule)  # refuses an unknown one, and one that needs options


def structured_step(options: StepOptions, structured: StructuredOptions, out: str | Path, *,
                    force: bool = False, progress: Progress = silent) -> dict[str, Any]:
    """Cut a model and save it uneven, in the dtype of its checkpoint, with its record.

    Returns
    -------
    dict
        Parameters before and after, what was cut of every block, perplexities, notes.

    Raises
    ------
    NeurosparseError
        As ``prune_structured``, ``models.load`` and the texts; ``out`` exists. Where ``export``
        cannot hold the cut model, that is saved and recorded nevertheless.
    """
    folder = Path(out)
    check_new(folder, structured.export)
    record = RunRecord("prune --structured", level=kernels.level(),
                       threads=torch.get_num_threads(), seeds={"windows": options.seed},
                       arguments={**vars(options), **vars(structured), "out": str(out)})
    with record.timed("load"):
        loaded = load(options.model, dtype=options.dtype, device=options.device)
        check_cut(loaded.model, structured)
        texts = gather(options.full(), loaded.tokenizer)
    record.data = texts.identity
    dtype = products_of(loaded.model, options.products)
    report = _report_windows(loaded, options, structured.report_windows)
    before = _measured(loaded, report, progress)
    total = sum(one.numel() for one in loaded.model.parameters())
    gone: list[int] = []
    if structured.blocks:
        with record.timed("blocks"):
            gone = least_influence(block_influence(loaded.model, texts.calibration, dtype=dtype,
                                                   batch_size=options.batch_size,
                                                   progress=progress), structured.blocks)
            drop_blocks(loaded.model, gone)
    done = StructuredReport(size=sum(target.size for target in find_targets(loaded.model)))
    if structured.rate is not None or structured.budget is not None:
        with record.timed("allocate"):
            chosen = _budget(loaded, texts.calibration, options, structured, force, progress)
        with record.timed("cut"):
            done = prune_structured(
                loaded.model, chosen, texts.calibration, method=structured.metric,
                compensate=structured.compensate, heads=structured.heads,
                experts=structured.experts, round_to=structured.round_to,
                batch_size=options.batch_size, dtype=dtype, progress=progress)
    stored = find_kind(kind_of_source(loaded.source)).dense
    round_to(loaded.model, stored)  # what is measured is what is saved
    after = _measured(loaded, report, progress)
    with record.timed("save"):
        loaded.model.to(stored)
        _save(loaded, folder)
    record.results = {
        "parameters": total, "removed": done.removed, "asked": done.asked, "rate": done.rate,
        "blocks": gone, "parameters_after": sum(one.numel() for one in loaded.model.parameters()),
        "sites": {name: {"before": site.before, "after": site.after}
                  for name, site in done.sites.items()},
        "notes": done.notes, "dense": _pair(before), "cut": _pair(after),
        "report_windows": structured.report_windows}
    record.write(folder / "run.json")
    if structured.export == "even" and is_uneven(loaded.model):
        export_even(loaded.model, even_folder(folder), tokenizer=loaded.tokenizer)
    return record.results


def _save(loaded: LoadedModel, folder: Path) -> None:
    """Uneven; a model that lost whole blocks alone is one of its class."""
    if is_uneven(loaded.model):
        save_uneven(loaded.model, folder, tokenizer=loaded.tokenizer)
        return
    with quiet(), write_whole_folder(folder) as beside:
        model: Any = loaded.model
        model.save_pretrained(beside)
        loaded.tokenizer.save_pretrained(beside)


def _budget(loaded: LoadedModel, tokens: torch.Tensor, options: StepOptions,
            structured: StructuredOptions, force: bool, progress: Progress) -> Budget:
    if structured.budget is not None:
        found = Budget.read(structured.budget)
        check_budget(found, model=identity(loaded.model), force=force)
        return found
    assert structured.rate is not None
    groups = find_groups(loaded.model, heads=structured.heads, experts=structured.experts,
                         round_to=structured.round_to)
    return rates_by_rule(loaded.model, tokens, groups, structured.rate, structured.rule,
                         metric=structured.metric, products=options.products,
                         batch_size=options.batch_size, progress=progress)


def _report_windows(loaded: LoadedModel, options: StepOptions, count: int) -> torch.Tensor | None:
    """Of the protocol's report side; none where the text is the user's own, or none is asked."""
    if not count or options.calibration is not None:
        return None
    cut = windows(loaded.tokenizer, protocol.side("report"), length=options.window_length)
    return cut[:count]


def _measured(loaded: LoadedModel, tokens: torch.Tensor | None, progress: Progress
              ) -> Perplexity | None:
    return None if tokens is None else perplexity(loaded.model, tokens, progress=progress)


def _pair(found: Perplexity | None) -> dict[str, float] | None:
    return None if found is None else {"perplexity": found.value, "stderr": found.stderr}
