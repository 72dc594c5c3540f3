"""What a structured cut and a search will take, before anything is read or written but shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from neurosparse.models import find_blocks, find_targets, load_empty, resolve
from neurosparse.pipeline.plan import matmul_speed
from neurosparse.pipeline.search_run import SearchOptions
from neurosparse.pipeline.steps import StepOptions
from neurosparse.pipeline.stored import kind_of_source
from neurosparse.pipeline.structured_checks import check_cut, search_groups
from neurosparse.pipeline.structured_step import StructuredOptions
from neurosparse.pruning.structured import Group, few_tokens, has_ladder
from neurosparse.sparse.kinds import find_kind

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_BASE = 600_000_000
_BACKWARD = 16
"""Windows of the backward pass of rule ``propagation``, each of about four forward passes."""


def structured_cost(options: StepOptions, structured: StructuredOptions) -> dict[str, Any]:
    """Seconds by stage, memory and disk of ``prune --structured``, from the speed of one product.

    Raises
    ------
    NeurosparseError
        As ``load_empty`` and ``check_cut``.
    """
    model = load_empty(options.model)
    groups = check_cut(model, structured)
    speed, total, linears = matmul_speed(), _total(model), _linears(model)
    tokens = options.windows * options.window_length
    solves = structured.compensate == "least_squares"
    seconds = {}
    if structured.blocks:
        seconds["blocks"] = 2 * linears * tokens / speed
    if structured.rate is not None and structured.rule == "propagation":
        seconds["propagation"] = _rule(groups, linears, total, tokens, options.window_length, speed)
    if structured.rate is not None or structured.budget is not None:
        seconds["cut"] = (4 * linears * tokens + solves * _solves(groups, tokens)) / speed
    reported = structured.report_windows * (options.calibration is None)
    seconds["report"] = 4 * total * reported * 512 / speed
    # Fused experts share the tokens: how many each will see is not known before.
    fits = [(tokens, _inputs(group)) for group in groups if solves and has_ladder(group.site)]
    return {"model": options.model, "parameters": total, "linears": linears,
            "to_go": None if structured.rate is None else round(structured.rate * linears),
            "blocks": structured.blocks, "seconds": _rounded(seconds),
            "notes": few_tokens(fits if "cut" in seconds else []),
            "memory_bytes": _memory(model, options.dtype, groups if "propagation" in seconds
                                    else [], tokens),
            "disk_bytes": _disk(model, options.model, structured, total, linears)}


def _disk(model: nn.Module, name: str, structured: StructuredOptions, total: int, linears: int
          ) -> int | None:
    """Weights of the cut model, in the dtype of its checkpoint; None where a budget says how many.

    Which blocks go is not known before: they count as so many of the average one.
    """
    if structured.budget is not None:
        return None
    blocks = find_blocks(model)
    inside = sum(parameter.numel() for block in blocks.modules for parameter in block.parameters())
    gone = structured.blocks / len(blocks)
    cut = (structured.rate or 0.0) * linears * (1 - gone)
    width = find_kind(kind_of_source(resolve(name))).dense.itemsize
    return round((total - gone * inside - cut) * width)


def search_cost(options: SearchOptions) -> dict[str, Any]:
    """Seconds by stage and memory of ``search``, from the speed of one product.

    Raises
    ------
    NeurosparseError
        As ``load_empty`` and ``find_groups``.
    """
    model = load_empty(options.model)
    groups = search_groups(model, options)
    speed, total, linears = matmul_speed(), _total(model), _linears(model)
    tokens = options.calibration_windows * options.window_length
    ladders = options.compensate == "least_squares" and all(has_ladder(g.site) for g in groups)
    seconds = {"scores": (4 * linears * tokens + ladders * _solves(groups, tokens)) / speed}
    if options.start == "propagation" and options.proposer != "line":
        seconds["start"] = 8 * total * min(_BACKWARD, options.calibration_windows) * (
            options.window_length) / speed
    evaluation = 2 * total * options.windows * options.window_length
    evaluation += ladders * _resolve(groups, _width(model))
    seconds["search"] = options.evaluations * evaluation / speed
    # A batch of 20 asks four questions at most, each four times.
    answers = 16 * math.ceil(options.evaluations / 20) * (options.proposer == "llm")
    return {"model": options.model, "parameters": total, "linears": linears,
            "to_go": round(options.rate * linears), "sites": len(groups),
            "evaluations": options.evaluations, "seconds_an_evaluation":
                round(evaluation / speed, 3), "seconds": _rounded(seconds),
            "answer_tokens_at_most": answers * options.max_tokens,
            "memory_bytes": _memory(model, options.dtype, groups if ladders else [], tokens)
                + (options.measure == "kl") * 4 * options.windows * options.window_length
                * _vocabulary(model)
                # Asked itself, the model is copied for the loop that writes.
                + (options.proposer == "llm" and options.llm is None) * total
                * _BYTES.get(options.dtype, 4)}


def _total(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _linears(model: nn.Module) -> int:
    return sum(target.size for target in find_targets(model))


def _vocabulary(model: nn.Module) -> int:
    config: Any = model.config
    return int(getattr(config.get_text_config(), "vocab_size", 0))


def _inputs(group: Group) -> int:
    """Inputs of a site's output projection."""
    return group.site.lengths[group.site.kind] * group.site.head_dim


def _width(model: nn.Module) -> int:
    config: Any = model.config
    return int(getattr(config.get_text_config(), "hidden_size", 0))


def _solves(groups: Sequence[Group], tokens: int) -> int:
    """Operations of Gram matrices and factors: ``2 n^2`` a token and about ``4 n^3``."""
    return sum(2 * tokens * _inputs(g) ** 2 + 4 * _inputs(g) ** 3 for g in groups)


def _resolve(groups: Sequence[Group], width: int) -> int:
    """Operations of the solved weights of one configuration, at half width."""
    return sum(width * _inputs(group) ** 2 // 2 for group in groups)


def _rule(groups: Sequence[Group], linears: int, total: int, tokens: int, length: int,
          speed: float) -> float:
    walk = 4 * linears * tokens + _solves(groups, tokens)
    return (walk + 8 * total * min(_BACKWARD, tokens // length) * length) / speed


def _memory(model: nn.Module, dtype: str, groups: Sequence[Group], tokens: int) -> int:
    """Weights, hidden states, ladders and one copy of the output projections."""
    wide = _width(model)
    ladders = sum(4 * _inputs(group) * (_inputs(group) + 2 * wide) for group in groups)
    return int(_total(model) * _BYTES.get(dtype, 4) + 4 * tokens * wide + ladders + _BASE)


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in seconds.items()}
