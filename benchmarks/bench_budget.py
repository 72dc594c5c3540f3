"""What does a budget cost: profile, allocate and prune by `propagation` against one uniform pass?

    python benchmarks/bench_budget.py [--windows 32] [--model smollm2] [--json FILE]

The uniform pass is the official procedure in float32: statistics and outputs of every block, two
forwards of the calibration windows. ATP's search is nine such passes, each with a report over 16
windows. Ours multiplies as ``--products auto`` says, in bfloat16 where that is fast. Then the same
uniform pass so, with the perplexity of both on 16 report windows. Every figure is one run after a
warm-up on two windows; ratios are what to look at on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import torch

import neurosparse as ns
from neurosparse.budgets import allocate
from neurosparse.measure import PropagationCollector, perplexity, protocol, sizes_only


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--sparsity", type=float, default=0.6)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    loaded = ns.models.load(arguments.model)
    cut = {side: ns.models.windows(loaded.tokenizer, protocol.side(side), length=512)
           for side in ("calibration", "report")}
    tokens, report = cut["calibration"][: arguments.windows], cut["report"][:16]
    model, sparsity = loaded.model, arguments.sparsity
    uniform = allocate(sizes_only(model), sparsity)
    ns.pruning.prune(ns.models.load(arguments.model).model, uniform, tokens[:2])
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "windows": len(tokens)}
    fast = ns.models.fast_products(model)
    found["products"] = str(fast or torch.float32).removeprefix("torch.")
    found["profile_s"], profile = timed(lambda: ns.measure.profile(
        model, tokens, evidence=[PropagationCollector(sparsity)], dtype=fast))
    found["peak_after_profile_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    found["allocate_s"], budget = timed(lambda: allocate(profile, sparsity, rule="propagation"))
    pruned = ns.models.load(arguments.model).model
    found["prune_s"], _ = timed(lambda: ns.pruning.prune(pruned, budget, tokens,
                                                              dtype=fast))
    found["uniform_s"], _ = timed(lambda: ns.pruning.prune(model, uniform, tokens))
    found["report_16_s"], value = timed(lambda: perplexity(model, report, batch_size=2))
    again = ns.models.load(arguments.model).model
    found["uniform_bf16_s"], _ = timed(lambda: ns.pruning.prune(
        again, uniform, tokens, dtype=torch.bfloat16))
    found["perplexity_fp32"] = value.value
    found["perplexity_bf16"] = perplexity(again, report, batch_size=2).value
    ours = found["profile_s"] + found["allocate_s"] + found["prune_s"]
    search = 9 * (found["uniform_s"] + found["report_16_s"])
    found |= {"ours_s": ours, "ratio_to_uniform": ours / found["uniform_s"],
              "atp_search_s": search, "search_over_ours": search / ours,
              "bf16_over_fp32": found["uniform_bf16_s"] / found["uniform_s"]}
    for name, one in found.items():
        print(f"{name:<24}{one:>12.3f}" if isinstance(one, float) else f"{name:<24}{one:>12}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)


if __name__ == "__main__":
    main()
