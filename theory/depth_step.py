"""ATP's step predicted against its grid.

Claim (theory.md, section 2). Where the local error grows like exp(k s) with the rate and the log
damage of a block falls by kappa a block, the best budget is an arithmetic progression with step
beta = kappa / k: the number that ATP's grid search looks for.

Derivation. Minimise sum_l g_l a_l exp(k s_l) at a given mean: ln(g_l a_l) + k s_l is one constant,
so s_l rises by kappa / k a block. A real network is no such sum, so the least damage is followed
along a path of progressions (docs/rules.md). The script measures that, prunes at every step of
ATP's grid and at the predicted step, all by the official procedure, and compares perplexities on
the same report windows with their paired error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import arguments, figure, save, verdict
from depth_model import TINY, measured

import neurosparse as ns
from neurosparse.budgets import allocate, step_bounds
from neurosparse.measure import ProgressionCollector, paired_difference
from neurosparse.report import paper, theme

NAME = "depth_step"
FULL = {"model": "smollm2", "sparsity": 0.6, "grid": 9, "spacing": 0.002, "calibration": 32,
        "selection": 1, "report": 16, "products": "auto"}
QUICK = {"model": TINY, "grid": 3, "spacing": 0.02, "calibration": 4, "report": 4}


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "an hour", FULL, QUICK)
    scene, sparsity = measured(s), float(s["sparsity"])
    profile = ns.measure.profile(scene.model, scene.calibration,
                                 evidence=[ProgressionCollector(sparsity)], dtype=scene.dtype)
    sizes = np.bincount(profile.block, weights=profile.sizes).astype(int).tolist()
    most = step_bounds(len(sizes), sparsity, sizes=sizes)[1]
    steps = [s["spacing"] * at for at in range(int(s["grid"]) + 1) if s["spacing"] * at <= most]
    budget = allocate(profile, sparsity, rule="arithmetic", step="predicted")
    predicted = float(budget.rule.notes["predicted_step"])
    found: dict[float, Any] = {}
    for step in sorted({*steps, predicted}):
        scene.pruned(allocate(profile, sparsity, rule="arithmetic", step=step))
        found[step] = scene.perplexity(scene.report)
        print(f"step {step:.4f}{' (predicted)' if step == predicted else ''}: "
              f"{found[step].value:.2f}", flush=True)
    best = min(steps, key=lambda step: found[step].value)
    gap, error = paired_difference(found[best], found[predicted])
    order = sorted(found)
    save(out, NAME, s, {"steps": order, "perplexity": [found[step].value for step in order],
                        "predicted": predicted, "best": best, "gap": gap, "gap_error": error})
    with figure(out, NAME, 2.6) as page:
        panel = page.subplots()
        panel.plot(order, [found[step].value for step in order], color=theme.light("strong"),
                   marker="o", ms=3.5, lw=1)
        panel.axvline(predicted, color=theme.light("warm"), lw=1, label="predicted")
        panel.set_xlabel("step β")
        panel.set_ylabel("perplexity")
        panel.legend(frameon=False)
        theme.tidy(panel)
        paper.letters([panel], [f"{s['model']}, {sparsity:.0%} Wanda"])
    inside = "within" if gap <= error else "outside"
    verdict(f"predicted step {predicted:.4f}, best of the grid {best:.4f}; the predicted one costs "
            f"{gap:.4f} ± {error:.4f} nats, {inside} one paired error")


if __name__ == "__main__":
    main()
