"""How near to the best is the budget? Against an evolution strategy with 200 evaluations.

Question. The rule sees no pruned model at the asked budget. How much would a search find that sees
200 of them?

Derivation. With dense statistics a budget is evaluated by masks alone, so a search is cheap enough
to be fair: CMA-ES over one offset a block and one a role (the mean is restored exactly), value the
log perplexity of the selection text, once from uniform and once from the rule's budget. Reported is
the perplexity of another text, the report windows, that no search has seen, under the same masks.
"""

from __future__ import annotations

from typing import Any

import cma
import numpy as np
from common import arguments, figure, save, verdict
from depth_model import TINY, Measured, measured

import neurosparse as ns
from neurosparse.budgets import exact_mean
from neurosparse.measure import PropagationCollector, Ranks
from neurosparse.models import get_weight, set_weight, watch_inputs
from neurosparse.pruning import StatisticsByTarget, find_method
from neurosparse.report import paper, theme

NAME = "depth_search"
FULL = {"model": "smollm2", "sparsity": 0.6, "evaluations": 200, "spread": 0.05,
        "calibration": 32, "selection": 8, "report": 16, "products": "auto"}
QUICK = {"model": TINY, "evaluations": 24, "calibration": 4, "selection": 4, "report": 4}


class Masked:
    """Budgets applied as masks of the dense statistics."""

    def __init__(self, scene: Measured) -> None:
        self.scene, self.ranks = scene, Ranks()
        statistics = StatisticsByTarget()
        model = scene.restore()
        with watch_inputs(model, scene.targets, lambda t, x: statistics.add(t.name, x)):
            scene.perplexity(scene.calibration)
        for target in scene.targets:
            self.ranks.put(target.name, find_method("wanda").scores(
                get_weight(model, target), statistics.get(target.name)))

    def value(self, rates: Any, windows: Any) -> float:
        """Log perplexity under these rates."""
        model = self.scene.restore()
        for target, rate in zip(self.scene.targets, rates, strict=True):
            weight = get_weight(model, target)
            set_weight(model, target, weight * self.ranks.keep(target.name, float(rate)))
        return float(np.log(self.scene.perplexity(windows).value))


def search(masked: Masked, start: Any, s: dict[str, Any], sizes: Any) -> tuple[Any, list[float]]:
    """Best rates found from a start, and the best value so far after every evaluation."""
    scene, sparsity = masked.scene, float(s["sparsity"])
    blocks = np.array([target.block for target in scene.targets])
    roles = [target.role for target in scene.targets]
    known = sorted(set(roles))
    place = np.array([known.index(role) for role in roles]) + blocks.max() + 1

    def rates(offsets: Any) -> Any:
        return exact_mean(start + offsets[blocks] + offsets[place], sizes, sparsity,
                          lower=0.0, upper=0.95)

    best: tuple[float, Any] = (masked.value(start, scene.selection), start)
    history = [best[0]]
    strategy = cma.CMAEvolutionStrategy(np.zeros(place.max() + 1), s["spread"], {
        "seed": int(s["seed"]) + 1, "verbose": -9})
    while len(history) < s["evaluations"]:
        offsets = strategy.ask()
        values = [masked.value(rates(np.array(one)), scene.selection) for one in offsets]
        strategy.tell(offsets, values)
        for one, value in zip(offsets, values, strict=True):
            best = min(best, (value, rates(np.array(one))), key=lambda pair: pair[0])
            history.append(best[0])
        print(f"{len(history)} evaluations: {np.exp(best[0]):.2f}", flush=True)
    return best[1], history


def main() -> None:
    """Run, write, print."""
    out, s = arguments(__doc__ or "", "an hour", FULL, QUICK)
    scene, sparsity = measured(s), float(s["sparsity"])
    profile = ns.measure.profile(scene.model, scene.calibration,
                                 evidence=[PropagationCollector(sparsity)], dtype=scene.dtype)
    budget = ns.budgets.allocate(profile, sparsity, rule="propagation")
    ours, masked = np.array(budget.rates), Masked(scene)
    starts = {"uniform": np.full(len(ours), sparsity), "ours": ours}
    report, history = {}, {}
    for name, start in starts.items():
        report[name] = float(np.exp(masked.value(start, scene.report)))
        found, history[name] = search(masked, start, s, profile.sizes)
        report[f"search from {name}"] = float(np.exp(masked.value(found, scene.report)))
    save(out, NAME, s, {**{f"history/{name}": one for name, one in history.items()},
                        **{f"report/{name}": value for name, value in report.items()}})
    with figure(out, NAME, 2.6) as page:
        panel = page.subplots()
        for number, (name, one) in enumerate(history.items()):
            panel.plot(np.arange(len(one)), np.exp(one), color=theme.series(number)[0], lw=1.2,
                       label=f"CMA-ES from {name}")
        panel.axhline(np.exp(history["ours"][0]), color=theme.light("soft"), lw=1, ls="--",
                      label="ours, no evaluation")
        panel.set_xlabel("evaluations")
        panel.set_ylabel("perplexity, selection text")
        panel.legend(frameon=False)
        theme.tidy(panel)
        paper.letters([panel], [f"{s['model']}, {sparsity:.0%} Wanda, dense statistics"])
    verdict(f"report text: ours {report['ours']:.2f} with no evaluation; {s['evaluations']} from "
            f"uniform {report['search from uniform']:.2f} (uniform {report['uniform']:.2f}), from "
            f"ours {report['search from ours']:.2f}")


if __name__ == "__main__":
    main()
