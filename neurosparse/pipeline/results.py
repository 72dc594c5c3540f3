"""The results of the main job, as they stand in ``run.json`` and in the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosparse.budgets import Budget
from neurosparse.measure import Perplexity, paired_difference
from neurosparse.pipeline.options import CompressOptions
from neurosparse.pipeline.texts import Texts
from neurosparse.pipeline.work import Work

_COPIED = ("perplexity", "perplexity_stderr", "nll_by_window", "peak_memory_bytes",
           "libraries_memory_bytes", "prefill_tokens_per_s", "decode_tokens_per_s",
           "core_decode_tokens_per_s", "decode_python_share", "decode_bytes",
           "memory_bytes_per_s", "load_s")


def assemble(options: CompressOptions, work: Work, rows: dict[str, dict[str, Any]],
             sizes: list[dict[str, Any]], texts: Texts) -> dict[str, Any]:
    """Put the table together.

    Parameters
    ----------
    rows
        Evaluations by name: ``dense``, ``packed``, perhaps ``dense bf16``.
    sizes
        From ``pack.sizes_table``.
    """
    budget = Budget.read(work.path("budget.json"))
    pruned = work.noted("prune") or {}
    dense, packed = rows["dense"], rows["packed"]
    difference, error = paired_difference(_perplexity(dense), _perplexity(packed))
    bytes_of = {row["name"]: row["bytes"] for row in sizes}
    names = {"dense": f"dense {options.dtype}", "dense bf16": "dense bf16",
             "packed": f"packed {options.values}"}
    table = []
    for key in ("dense", "dense bf16", "packed"):
        if key not in rows:
            continue
        what, size = names[key], bytes_of.get(names[key])
        if size is None:
            # Dense in the dtype that it computes in, if it were saved so.
            wide = key == "dense" and options.dtype == "float32"
            what, size = (("dense fp32", 2 * bytes_of["dense bf16"]) if wide
                          else ("dense bf16", bytes_of["dense bf16"]))
        table.append({"name": names[key], "bytes": size, "bytes_what": what,
                      **{name: rows[key].get(name) for name in _COPIED}})
    return {
        "model": options.model,
        "sparsity": {"asked": options.sparsity, "kept": pruned.get("sparsity")},
        "method": options.method,
        "rule": budget.rule.model_dump(),
        "text": texts.identity,
        "search": work.noted("search"),
        "rows": table,
        "sizes": sizes,
        "paired": {"difference": difference, "stderr": error},
        "loop": packed.get("loop"),
        "sample": packed.get("sample"),
        "notes": [*texts.notes, *pruned.get("notes", []),
                  *dict.fromkeys(note for row in rows.values() for note in row.get("notes", []))],
    }


def _perplexity(row: dict[str, Any]) -> Perplexity:
    return Perplexity(np.array(row["nll_by_window"]), row["predictions"])
