"""Does the protocol come out? Dense, uniform and arithmetic on SmolLM2 against the anchors.

Run: python benchmarks/bench_protocol.py     (about 6 minutes on two cores)
The anchors are of an independent implementation (docs/protocol.md); it floors counts by row, so
that its rates are a little below what they say.
"""

from __future__ import annotations

import sys
import time

import neurosparse as ns
from neurosparse.measure import Perplexity, protocol

# (rule and step, sparsity): (perplexity of the anchor, tolerance)
ANCHORS = {
    ("dense", 0.0): (12.19, 0.005),
    ("uniform", 0.5): (30.24, 0.03),
    ("uniform", 0.6): (82.49, 0.03),
    ("arithmetic 0.008", 0.6): (66.73, 0.03),
}


def measure(rule: str, sparsity: float, *, model: str = "smollm2", windows: int = 16
            ) -> tuple[Perplexity, float]:
    """Perplexity on the first report windows, and the seconds that pruning took."""
    loaded = ns.models.load(model)
    calibration, report = (
        ns.models.windows(loaded.tokenizer, protocol.side(side), length=protocol.WINDOW)
        for side in ("calibration", "report")
    )
    begin = time.perf_counter()
    if sparsity:
        name, _, step = rule.partition(" ")
        options = {"step": float(step)} if step else {}
        sizes = ns.measure.sizes_only(loaded.model)
        budget = ns.budgets.allocate(sizes, sparsity, rule=name, **options)
        ns.pruning.prune(loaded.model, budget, calibration[: protocol.CALIBRATION_WINDOWS])
    spent = time.perf_counter() - begin
    return ns.measure.perplexity(loaded.model, report[:windows]), spent


def main() -> int:
    """Print one line a row; exit code 1 if a row is off by more than its tolerance."""
    failed = False
    for (rule, sparsity), (anchor, tolerance) in ANCHORS.items():
        found, spent = measure(rule, sparsity)
        off = found.value / anchor - 1
        failed |= abs(off) > tolerance
        print(f"{rule:<18} {sparsity:4.0%}  perplexity {found.value:6.2f} +- {found.stderr:5.2f}  "
              f"anchor {anchor:6.2f}  off {off:+.2%} (may {tolerance:.1%})  prune {spent:5.1f} s",
              flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
