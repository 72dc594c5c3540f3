"""Search the rates of a structured cut (``neurosparse search``)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurosparse import kernels
from neurosparse.budgets import check_sparsity, evidence_for
from neurosparse.errors import InputError
from neurosparse.files import write_json
from neurosparse.measure import protocol
from neurosparse.models import (
    PRODUCTS,
    LoadedModel,
    identity,
    load,
    products_of,
    read_documents,
    windows,
)
from neurosparse.pipeline.local_completion import LocalCompletion
from neurosparse.pipeline.structured_checks import search_groups
from neurosparse.pipeline.structured_fitness import MEASURES, StructuredFitness
from neurosparse.pipeline.structured_rates import rates_by_rule, rates_of_sites
from neurosparse.progress import Progress, silent
from neurosparse.pruning.structured import (
    METRICS,
    Group,
    Ladder,
    check_units,
    has_ladder,
    make_ladders,
    structured_scores,
)
from neurosparse.pruning.structured.compensate import WAYS
from neurosparse.records import RunRecord
from neurosparse.search import (
    PROPOSERS,
    Patient,
    ServerCompletion,
    Space,
    make_proposer,
    rate_space,
    search,
)

_MOST = 0.95
_HOURS = 6 * 3600.0


@dataclass(frozen=True)
class SearchOptions:
    """What is searched, and how.

    Attributes
    ----------
    model, rate
        Share of the parameters of the blocks' linears that goes.
    proposer, evaluations, seed
        One of ``search.PROPOSERS``; distinct configurations at most.
    start
        Rule whose rates are evaluated first (and around which first populations are drawn); the
        line begins at uniform ones.
    metric, heads, round_to, compensate
        As for ``prune --structured``. Under ``"least_squares"`` configurations are evaluated with
        their output weights solved from the dense statistics (not with fused experts), else under
        masks alone.
    measure
        ``"perplexity"`` or ``"kl"`` to the dense model, on the selection text.
    selection, windows, window_length
        Text where the choice is made (the protocol's selection entries by default); its windows.
    calibration_windows
        Of the protocol's calibration side, or of ``calibration``, for the scores.
    llm, server, temperature, prompts, max_tokens
        For ``llm``: model that is asked (by default the one that is to be pruned, dense: between
        two evaluations no unit is masked), base URL of a server that knows it, temperature, folder
        of templates, where an answer is cut.
    dtype, products, device
        Of the weights; of the matrix products (``"auto"``: bfloat16 where there are instructions
        for it, ``"own"``).

    Raises
    ------
    InputError, BudgetError
        A value is out of its range.
    """

    model: str
    rate: float
    proposer: str = "evolution"
    evaluations: int = 100
    seed: int = 0
    start: str = "propagation"
    metric: str = "flap"
    heads: str = "queries"
    round_to: int = 1
    compensate: str = "least_squares"
    measure: str = "perplexity"
    selection: str | None = None
    calibration: str | None = None
    windows: int = 4
    window_length: int = 256
    calibration_windows: int = 16
    llm: str | None = None
    server: str | None = None
    temperature: float = 0.7
    prompts: str | None = None
    max_tokens: int = 512
    dtype: str = "float32"
    products: str = "auto"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_sparsity(self.rate, "search")
        known = {"proposer": tuple(PROPOSERS), "metric": METRICS, "measure": MEASURES,
                 "compensate": WAYS, "products": PRODUCTS}
        for name, words in known.items():
            if getattr(self, name) not in words:
                raise InputError("search", found=f"{name} {getattr(self, name)!r}",
                                 expected="one of " + ", ".join(words))
        check_units("search", self.heads, self.round_to)
        if self.proposer != "line":  # which begins at its own step 0
            evidence_for(self.start)
        if min(self.windows, self.evaluations, self.max_tokens) < 1:
            raise InputError("search", found=f"windows {self.windows}, evaluations "
                             f"{self.evaluations}, max_tokens {self.max_tokens}",
                             expected="at least 1 of each")
        if self.server is not None and self.llm is None:
            raise InputError("search", found="--server without --llm",
                             expected="the model's name on the server")


def search_run(options: SearchOptions, out: str | Path, *, progress: Progress = silent
               ) -> dict[str, Any]:
    """Search, and leave ``archive.jsonl``, ``budget.json`` and ``run.json`` in a folder.

    An archive that is there is gone on with: a search that was killed ends as an undisturbed one,
    and no configuration is evaluated twice, across proposers too.

    Raises
    ------
    NeurosparseError
        As the texts, ``models.load`` and ``search``; an archive of another model, text or measure.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    record = RunRecord("search", arguments=vars(options), level=kernels.level(),
                       seeds={"search": options.seed}, threads=torch.get_num_threads())
    with record.timed("load"):
        loaded = load(options.model, dtype=options.dtype, device=options.device)
        calibration, selection = _texts(options, loaded)
        groups = search_groups(loaded.model, options)
        space = _space(options, loaded, groups)
    with record.timed("scores"):
        dtype = products_of(loaded.model, options.products)
        ladders: dict[str, Ladder] | None = None
        if options.compensate == "least_squares" and all(has_ladder(g.site) for g in groups):
            scores, ladders = make_ladders(loaded.model, calibration, groups, dtype=dtype,
                                           method=options.metric, progress=progress)
        else:
            scores = structured_scores(loaded.model, calibration, groups, method=options.metric,
                                       progress=progress)
    fitness = StructuredFitness(loaded.model, groups, scores, selection, options.measure,
                                ladders=ladders, dtype=dtype)
    more: dict[str, Any] = {"complete": _completion(options, loaded),
                            "prompts": options.prompts} if options.proposer == "llm" else {}
    if options.proposer == "line":  # it has no start but its own step 0
        more["position"] = [group.site.block for group in groups]
    else:
        with record.timed("start"):
            given = rates_by_rule(loaded.model, calibration, groups, options.rate, options.start,
                                  metric=options.metric, products=options.products,
                                  ladders=ladders, progress=progress)
        more["start"] = [rates_of_sites(loaded.model, groups, given)]
    proposer = make_proposer(options.proposer, space, seed=options.seed, **more)
    about = {"metric": options.metric, "heads": options.heads, "round_to": options.round_to,
             "measure": options.measure, "tokens": _digest(selection),
             "calibration": _digest(calibration), "dtype": options.dtype,
             "products": str(dtype), "solved": ladders is not None}
    with record.timed("search"):
        found = search(space, fitness, proposer, options.evaluations,
                       archive=folder / "archive.jsonl", about=about, progress=progress)
    best = found.budget()
    best.write(folder / "budget.json")
    values = found.values()
    record.results = {
        "best": found.value, "perplexity": math.exp(min(found.value, 700)),
        "evaluated": len(values),
        "first": float(values[0]), "failed": found.failed, "shared": found.shared,
        "best_so_far": np.minimum.accumulate(values).tolist(), "ended": found.ended,
        "proposer": found.record, "measure": options.measure, "windows": len(selection)}
    record.write(folder / "run.json")
    write_json(folder / "best.json", {"value": found.value,
                                      "rates": found.best.configuration.tolist()})
    return record.results


def _texts(options: SearchOptions, loaded: LoadedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Calibration and selection windows, from different texts."""
    found = []
    for use, source, count in (("calibration", options.calibration, options.calibration_windows),
                               ("selection", options.selection, options.windows)):
        documents = protocol.side(use) if source is None else read_documents(source)
        found.append(windows(loaded.tokenizer, documents, length=options.window_length,
                             count=count))
    return found[0], found[1]


def _space(options: SearchOptions, loaded: LoadedModel, groups: Sequence[Group]) -> Space:
    """Rates of every attention and feed-forward map."""
    return rate_space([group.whole for group in groups], options.rate,
                      names=[group.name for group in groups], upper=_MOST,
                      model=identity(loaded.model))


def _completion(options: SearchOptions, loaded: LoadedModel) -> Any:
    if options.server is not None:
        assert options.llm is not None
        return ServerCompletion(options.llm, base_url=options.server, seed=options.seed,
                                temperature=options.temperature,
                                max_tokens=options.max_tokens)
    asked = loaded if options.llm in (None, options.model) else load(
        options.llm or "", dtype=options.dtype, device=options.device)
    local = LocalCompletion(asked, options.llm or options.model, seed=options.seed,
                            temperature=options.temperature, max_tokens=options.max_tokens)
    # It ends by itself, and what it refuses once it refuses again.
    return Patient(local, timeout=_HOURS, retries=0)


def _digest(tokens: torch.Tensor) -> str:
    return hashlib.sha256(tokens.numpy().tobytes()).hexdigest()[:16]
