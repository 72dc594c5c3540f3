"""Structures cut out of SmolLM2: perplexity by metric and compensation, and the speed that it buys.

Run: python benchmarks/table_structured.py [--out FILE]     (about ten minutes on two cores)
     python benchmarks/table_structured.py --show           prints the table from what is there
     python benchmarks/table_structured.py --quick          two rows of few windows

docs/protocol.md: 16 calibration windows of 512 tokens, the first 16 report windows, uniform rates
unless a row names a rule, float32. Speed: prefill of 512 tokens and decoding in transformers'
loop, the cut model and the dense one in turns, least time of five.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_structured import turns

import neurosparse as ns
from neurosparse.files import write_json
from neurosparse.measure import protocol
from neurosparse.pipeline.structured_rates import rates_by_rule
from neurosparse.pruning.structured import find_groups, prune_structured

# rate, heads, metric, compensation, and a rule where it is not uniform
ROWS: list[tuple[Any, ...]] = [(0.3, "groups", metric, way) for metric, way in (
    ("flap", "least_squares"), ("wanda-sp", "none"), ("wanda-sp", "bias"),
    ("wanda-sp", "least_squares"), ("flap", "bias"))]
ROWS += [(0.3, "queries", "flap", "least_squares"), (0.5, "groups", "flap", "least_squares"),
         (0.2, "groups", "flap", "least_squares"), (0.3, "groups", "magnitude", "none"),
         (0.3, "groups", "fisher", "least_squares")]
ROWS += [(rate, "queries", "flap", "least_squares", "propagation") for rate in (0.2, 0.3, 0.5)]


def speed(dense: Any, cut: Any, tokens: torch.Tensor) -> dict[str, float]:
    """Dense over cut, in turns: prefill, and a token of decoding."""
    times = turns(dense, cut, tokens, 5)
    return {"prefill": min(times["prefill dense"]) / min(times["prefill cut"]),
            "decode": max(times["decode cut"]) / max(times["decode dense"])}


def main() -> None:
    """Cut, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="docs/measured/structured.json")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    path = Path("build/structured-quick.json" if arguments.quick else arguments.out)
    table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if not arguments.show:
        measure(table, path, quick=arguments.quick)
    print(f"dense {table['dense']['perplexity']:.2f}")
    for key, row in table.items():
        if key == "dense":
            continue
        print(f"{key:<40} {row['perplexity']:8.2f} +- {row['stderr']:.2f}  "
              f"{row['removed']:,} parameters of {row['asked']:,} asked; prefill "
              f"{row['prefill']:.2f}x, decode {row['decode']:.2f}x of dense")


def measure(table: dict[str, Any], path: Path, *, quick: bool) -> None:
    """What is not there yet, writing after every row."""
    loaded = ns.models.load("smollm2")
    cut = {side: ns.models.windows(loaded.tokenizer, protocol.side(side), length=512)
           for side in ("calibration", "report")}
    tokens, report = cut["calibration"][: 2 if quick else 16], cut["report"][: 1 if quick else 16]
    dense: Any = loaded.model
    path.parent.mkdir(parents=True, exist_ok=True)
    if "dense" not in table:
        table["dense"] = _pair(ns.measure.perplexity(dense, report, batch_size=2))
    for row in ROWS[:2] if quick else ROWS:
        rate, heads, metric, way, *named = row
        rule, key = named[0] if named else "uniform", "|".join(map(str, row))
        if key in table:
            continue
        model: Any = ns.models.load("smollm2").model
        budget = rates_by_rule(model, tokens, find_groups(model, heads=heads), rate, rule,
                               metric=metric)
        begin = time.perf_counter()
        done = prune_structured(model, budget, tokens, method=metric, compensate=way, heads=heads)
        spent = time.perf_counter() - begin
        table[key] = {**_pair(ns.measure.perplexity(model, report, batch_size=2)),
                      "removed": done.removed, "asked": done.asked, "seconds": spent,
                      **speed(dense, model, report[:1])}
        write_json(path, table)
        print(key, round(table[key]["perplexity"], 2), flush=True)


def _pair(found: Any) -> dict[str, Any]:
    return {"perplexity": found.value, "stderr": found.stderr if np.isfinite(found.stderr) else 0.0,
            "nll": found.nll.tolist()}


if __name__ == "__main__":
    main()
