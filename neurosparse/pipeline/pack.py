"""Write the packed model, and count what it takes against what it took."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from neurosparse.budgets import Budget
from neurosparse.files import size_of
from neurosparse.models import LoadedModel, find_blocks, find_targets, get_weight
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.stages import finished_block
from neurosparse.pipeline.work import Work
from neurosparse.progress import Progress
from neurosparse.pruning import BlockFiles
from neurosparse.sparse import packed_bytes, save
from neurosparse.sparse.kinds import find_kind
from neurosparse.sparse.round_vocabulary import vocabulary_of, vocabulary_saving


def pack_model(loaded: LoadedModel, work: Work, options: CompressOptions, progress: Progress
               ) -> list[dict[str, Any]]:
    """Write ``model`` in the work folder.

    Returns
    -------
    rows : list of dict
        ``name``, ``bytes``, ``measured`` (a file that exists, or counted exactly), and for packed
        and dense forms ``linears_bytes``, the blocks' linears alone.
    """
    model, files = loaded.model, BlockFiles(work.path("blocks"))
    targets = find_targets(model, exclude=options.exclude)
    save(model, work.path("model"), values=options.values, targets=targets,
         group_size=options.group_size, tokenizer=loaded.tokenizer,
         budget=Budget.read(work.path("budget.json")),
         open_block=lambda index: finished_block(model, index, files), progress=progress)
    kept: dict[str, int] = {}
    for index in range(len(find_blocks(model))):
        with finished_block(model, index, files):
            for target in (t for t in targets if t.block == index):
                kept[target.name] = int(torch.count_nonzero(get_weight(model, target)))
    linears = sum(target.size for target in targets)
    rest = sum(parameter.numel() for parameter in model.parameters()) - linears
    # One byte a weight and one float32 scale a row, as packed int8 has.
    int8 = linears + 4 * sum(target.shape[0] for target in targets)
    in_int8 = int8 + rest_bytes(model, rest, "int8")
    rows: list[dict[str, Any]] = [
        {"name": f"as it came ({loaded.source.description})", "bytes": loaded.source.bytes,
         "measured": True},
        {"name": "dense bf16", "bytes": 2 * (linears + rest), "linears_bytes": 2 * linears,
         "measured": False},
        {"name": "dense int8", "bytes": in_int8, "linears_bytes": int8, "measured": False},
    ]
    for values in dict.fromkeys(("bf16", "int8", options.values)):
        group = options.group_size if values == options.values else None
        inside = sum(packed_bytes(*target.shape, kept[target.name], values, group)
                     for target in targets)
        row = {"name": f"packed {values}", "bytes": inside + rest_bytes(model, rest, values),
               "linears_bytes": inside, "measured": False}
        if values == options.values:
            weights = sum(size_of(file) for file in work.path("model").glob("*.safetensors"))
            row |= {"bytes": weights, "measured": True}
        rows.append(row)
    return rows


def rest_bytes(model: nn.Module, rest: int, values: str) -> int:
    """Bytes of the ``rest`` parameters that are not packed, as ``sparse.save`` stores them.

    Parameters
    ----------
    model
        In memory or on the meta device.
    values
        Kind of the packed values.
    """
    wide = find_kind(values).dense.itemsize
    rounded = vocabulary_of("auto", values, model) is not None
    return rest * wide - (vocabulary_saving(model, wide) if rounded else 0)
