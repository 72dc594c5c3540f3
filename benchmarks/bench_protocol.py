"""Does the protocol come out? Dense, uniform and arithmetic on SmolLM2 against the anchors.

Run: python benchmarks/bench_protocol.py     (about 6 minutes on two cores)
"""

from __future__ import annotations

import sys
import time

import neurosparse as ns
from neurosparse.measure import protocol

ANCHORS = {  # protocol.md, 16 report windows, first 32 calibration windows
    ("dense", 0.0): 12.19,
    ("uniform", 0.5): 30.24,
    ("uniform", 0.6): 82.49,
    ("arithmetic 0.008", 0.6): 66.73,
}


def main(model_name: str = "smollm2") -> int:
    """Print one line a row; exit code 1 if a row is off by more than its tolerance."""
    failed = 0
    for (rule, sparsity), anchor in ANCHORS.items():
        begin = time.perf_counter()
        loaded = ns.models.load(model_name)
        calibration, report = (
            ns.models.windows(loaded.tokenizer, protocol.side(side), length=protocol.WINDOW)
            for side in ("calibration", "report")
        )
        if sparsity:
            name, _, step = rule.partition(" ")
            options = {"step": float(step)} if step else {}
            sizes = ns.measure.sizes_only(loaded.model)
            budget = ns.budgets.allocate(sizes, sparsity, rule=name, **options)
            ns.pruning.prune(loaded.model, budget, calibration[: protocol.CALIBRATION_WINDOWS])
        pruned = time.perf_counter()
        found = ns.measure.perplexity(loaded.model, report[:16])
        off = found.value / anchor - 1
        tolerance = 0.005 if rule == "dense" else 0.03
        failed += abs(off) > tolerance
        print(f"{rule:<18} {sparsity:4.0%}  perplexity {found.value:7.2f} +- {found.stderr:5.2f}"
              f"  anchor {anchor:7.2f}  off {off:+.2%} (may {tolerance:.1%})"
              f"  prune {pruned - begin:5.1f} s, report {time.perf_counter() - pruned:5.1f} s",
              flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
