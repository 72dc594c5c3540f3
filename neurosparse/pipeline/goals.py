"""Goals other than a sparsity: bytes on disk, tokens a second, perplexity on the selection text."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from neurosparse.budgets import (
    Budget,
    Found,
    Profile,
    allocate,
    greatest_sparsity,
    least_sparsity,
)
from neurosparse.errors import BudgetError
from neurosparse.measure import generation_speed, perplexity
from neurosparse.models import find_blocks, find_targets, get_weight, load, load_empty, set_weight
from neurosparse.pipeline.packed_file import packed_file_bytes
from neurosparse.pipeline.steps import StepOptions
from neurosparse.pipeline.texts import gather
from neurosparse.progress import Progress, silent
from neurosparse.pruning import drop_counts, lowest_by_row, prune
from neurosparse.sparse import load as load_packed
from neurosparse.sparse import save

Allocate = Callable[[float], Budget]
_PROMPT, _STEPS = 64, 32
_TRIALS = 6


@dataclass(frozen=True)
class Goal:
    """What the packed model must keep; exactly one of the three.

    Attributes
    ----------
    bytes
        Of the packed model's safetensors file, header and all, at most.
    tokens_per_s
        Decode speed of one sequence on this machine, at least.
    perplexity
        On the selection text, at most.
    """

    bytes: float | None = None
    tokens_per_s: float | None = None
    perplexity: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.bytes, self.tokens_per_s, self.perplexity)
                 if value is not None]
        if len(given) != 1 or not given[0] > 0:
            raise BudgetError("allocate for a goal", found=str(self),
                              expected="one of bytes, tokens_per_s, perplexity, above zero")


def sparsity_for_goal(goal: Goal, options: StepOptions, budget_of: Allocate, *,
                      values: str = "bf16", start: float = 0.0, end: float = 0.9,
                      progress: Progress = silent) -> Found:
    """The sparsity that meets a goal: the least for bytes and speed, the greatest for perplexity.

    Bytes are counted; speed and perplexity are measured, each on at most six sparse models. The
    perplexity is that of the selection text, the report text is never read.

    Parameters
    ----------
    options
        Model, text and method, as for the single stages.
    budget_of
        The budget of a sparsity.
    values
        How the packed model stores what stays.
    start, end
        Range of the search.

    Raises
    ------
    BudgetError
        No sparsity of the range meets the goal; the message says how near it comes.
    """
    if goal.bytes is not None:
        return least_sparsity(_bytes_of(options, budget_of, values), goal.bytes,
                              low=start, high=end)
    if goal.tokens_per_s is not None:
        return least_sparsity(_latency_of(options, budget_of, values, progress),
                              1 / goal.tokens_per_s, low=start, high=end, evaluations=_TRIALS,
                              tolerance=0.01, what="seconds a token")
    assert goal.perplexity is not None
    return greatest_sparsity(_perplexity_of(options, budget_of, progress), goal.perplexity,
                             low=start, high=end, evaluations=_TRIALS)


def _bytes_of(options: StepOptions, budget_of: Allocate, values: str
              ) -> Callable[[float], float]:
    model = load_empty(options.model)
    targets, blocks = find_targets(model), find_blocks(model)

    def value(sparsity: float) -> float:
        counts = drop_counts(budget_of(sparsity), targets, blocks)
        return float(packed_file_bytes(model, targets, counts, values))

    return value


def _latency_of(options: StepOptions, budget_of: Allocate, values: str, progress: Progress
                ) -> Callable[[float], float]:
    tried: list[float] = []

    def value(sparsity: float) -> float:
        """How fast a model is does not depend on which weights are gone: magnitude will do."""
        loaded = load(options.model, dtype=options.dtype)
        counts = drop_counts(budget_of(sparsity), find_targets(loaded.model),
                             find_blocks(loaded.model))
        for target in find_targets(loaded.model):
            if counts.get(target.name):
                weight = get_weight(loaded.model, target)
                keep = lowest_by_row(weight.abs(), counts[target.name])
                set_weight(loaded.model, target, weight.masked_fill(~keep, 0.0))
        with tempfile.TemporaryDirectory(prefix="neurosparse-speed-") as folder:
            save(loaded.model, f"{folder}/m", values=values, tokenizer=loaded.tokenizer)
            del loaded
            packed: Any = load_packed(f"{folder}/m")
            vocabulary = packed.get_input_embeddings().weight.shape[0]
            prompt = torch.arange(_PROMPT)[None] % vocabulary
            found = 1 / generation_speed(packed, prompt, steps=_STEPS).decode
        tried.append(found)
        progress("measure the speed", min(len(tried), _TRIALS), _TRIALS)
        return found

    return value


def _perplexity_of(options: StepOptions, budget_of: Allocate, progress: Progress
                   ) -> Callable[[float], float]:
    full = options.full()
    tried: list[float] = []

    def value(sparsity: float) -> float:
        loaded = load(options.model, dtype=options.dtype, device=options.device)
        texts = gather(full, loaded.tokenizer, selection=True)
        assert texts.selection is not None, "gather() reads it when a selection is asked for"
        prune(loaded.model, budget_of(sparsity), texts.calibration, method=options.method,
              batch_size=options.batch_size)
        tried.append(perplexity(loaded.model, texts.selection).value)
        progress("measure perplexity", min(len(tried), _TRIALS), _TRIALS)
        return tried[-1]

    return value


def allocator_of(profile: Profile, rule: str, options: dict[str, Any], **bounds: Any) -> Allocate:
    """Budgets of one profile by sparsity."""
    def value(sparsity: float) -> Budget:
        if sparsity == 0:
            return allocate(profile, 0.0)
        return allocate(profile, sparsity, rule=rule, **bounds, **options)

    return value
