"""Error explosion through depth on a real model, block by block, for several budgets.

Claim (ATP, arXiv 2502.14770). Errors that early blocks make grow through the blocks that follow, so
that early blocks should give less.

Derivation. e_l = d_l + A_l e_{l-1} with d_l the error that block l makes by itself and A_l its
Jacobian, residual branch included (theory.md, section 1). With |A_l| = c > 1 the error at the end
is the sum of the d_l times c^(L-l). The script prunes by each rule with the official sequential
procedure and follows dense and sparse hidden states side by side: r_l = |y_l - x_l|^2 / |x_l|^2
after every block. A budget is good if the error that *arrives*, as the output sees it, is small;
the relative error of the last hidden state and the perplexity are printed beside each other, since
a large error in a direction that the output does not look at costs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, figure, save, verdict
from depth_model import TINY, measured
from matplotlib.ticker import MaxNLocator

import neurosparse as ns
from neurosparse.measure import DepthErrors, ProgressionCollector, PropagationCollector
from neurosparse.report import paper, theme

NAME = "depth_explosion"
FULL = {"model": "smollm2", "sparsity": 0.6, "calibration": 32, "selection": 1, "report": 16,
        "products": "auto"}
QUICK = {"model": TINY, "calibration": 4, "report": 4}
RULES: dict[str, dict[str, Any]] = {
    "uniform": {}, "arithmetic": {"step": "predicted"}, "owl": {}, "propagation": {},
}


def draw(out: Path, s: dict[str, Any], errors: dict[str, Any], values: dict[str, float]) -> None:
    """Errors over depth, a line a rule."""
    with figure(out, NAME, 2.8) as page:
        panel = page.subplots()
        for number, (rule, one) in enumerate(errors.items()):
            colour, marker = theme.series(number)
            panel.plot(np.arange(len(one)), one, color=colour, marker=marker, ms=3, lw=1,
                       label=f"{rule}, {values[rule]:.3g}")
        panel.set_yscale("log")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("block")
        panel.set_ylabel("|y - x|² / |x|² after the block")
        panel.legend(frameon=False, title="rule, perplexity")
        theme.tidy(panel)
        paper.letters([panel], [f"{s['model']}, {float(s['sparsity']):.0%} Wanda"])


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "20 minutes", FULL, QUICK)
    scene, sparsity = measured(s), float(s["sparsity"])
    profile = ns.measure.profile(scene.model, scene.calibration,
                                 evidence=["curves", "owl", PropagationCollector(sparsity),
                                           ProgressionCollector(sparsity)], dtype=scene.dtype)
    errors, values = {}, {}
    for rule, options in RULES.items():
        follow = DepthErrors(4)
        budget = ns.budgets.allocate(profile, sparsity, rule=rule, **options)
        scene.pruned(budget, observers=[follow])
        errors[rule], values[rule] = follow.relative_error, scene.perplexity(scene.report).value
        print(f"{rule}: error {errors[rule][0]:.3g} after the first block, {errors[rule][-1]:.3g} "
              f"after the last, perplexity {values[rule]:.2f}", flush=True)
    save(out, NAME, s, {**{f"error/{rule}": one for rule, one in errors.items()},
                        "perplexity": list(values.values()), "rules": list(values)})
    draw(out, s, errors, values)
    best = min(values, key=lambda rule: values[rule])
    least = min(errors, key=lambda rule: float(errors[rule][-1]))
    growth = {rule: float((one[-1] / one[0]) ** (0.5 / max(len(one) - 1, 1)))
              for rule, one in errors.items()}
    verdict(f"from first to last block the error of uniform grows {growth['uniform']:.3f} a block, "
            f"that of {best} {growth[best]:.3f}; least perplexity has {best}, least error in the "
            f"last hidden state {least}")


if __name__ == "__main__":
    main()
