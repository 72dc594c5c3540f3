"""Does a search help, and does a language model? Proposers at equal evaluations, one archive each.

Run: make table-search       (SmolLM2 at 30 %, 100 evaluations on 4 windows of 256, 3 seeds; goes on
                             where it was stopped)
     python benchmarks/table_search.py --full     20, 30 and 50 %, 430 evaluations
     python benchmarks/table_search.py --show     prints the table from what is there
     python benchmarks/table_search.py --quick    few evaluations, to see that it runs

Every row: the best of its evaluations on the *selection* text, then cut (FLAP, least squares, 16
calibration windows of 512) and reported on the first 16 report windows of docs/protocol.md. Rows
with 0 evaluations are budgets of rules. ``llm permuted`` sees the blocks in another order,
``llm blind`` no fitness.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import neurosparse as ns
from neurosparse.budgets import Budget
from neurosparse.budgets.units import units
from neurosparse.files import write_json
from neurosparse.measure import Perplexity, paired_difference, protocol
from neurosparse.models import LoadedModel
from neurosparse.pipeline.local_completion import LocalCompletion
from neurosparse.pipeline.structured_fitness import StructuredFitness
from neurosparse.pruning.structured import find_groups, prune_structured, structured_scores
from neurosparse.search import make_proposer, profile_space, search

ROWS: dict[str, dict[str, Any]] = {
    "uniform": {}, "propagation": {}, "arithmetic predicted": {},
    "line": {"proposer": "line"}, "random": {"proposer": "random"},
    "evolution": {"proposer": "evolution"}, "cma": {"proposer": "cma"}, "tpe": {"proposer": "tpe"},
    "evolution from propagation": {"proposer": "evolution", "start": "propagation"},
    "llm": {"proposer": "llm"}, "llm permuted": {"proposer": "llm", "permuted": True},
    "llm blind": {"proposer": "llm", "show_fitness": False},
}
RULES = ("uniform", "propagation", "arithmetic predicted")
METRIC, HEADS = "flap", "groups"


class Bench:
    """The model, its scores, the texts."""

    def __init__(self, *, windows: int) -> None:
        self.loaded: LoadedModel = ns.models.load("smollm2")
        tokenizer = self.loaded.tokenizer

        def cut(side: str, length: int, count: int) -> Any:
            return ns.models.windows(tokenizer, protocol.side(side), length=length, count=count)

        self.calibration, self.report = cut("calibration", 512, 16), cut("report", 512, 16)
        self.model: Any = self.loaded.model
        self.groups = find_groups(self.model, heads=HEADS)
        scores = structured_scores(self.model, self.calibration, self.groups, method=METRIC)
        self.fitness = StructuredFitness(self.model, self.groups, scores,
                                         cut("selection", 256, windows))
        self.profile = ns.measure.profile(
            self.model, cut("calibration", 512, 32),
            evidence=[ns.measure.PropagationCollector(0.5),
                      ns.measure.ProgressionCollector(0.5)])

    def of_rule(self, rule: str, rate: float) -> Budget:
        """Budget of a rule, with no evaluation."""
        name, _, step = rule.partition(" ")
        return ns.budgets.allocate(self.profile, rate, rule=name,
                                   **({"step": step} if step else {}))

    def by_block(self, budget: Budget) -> Any:
        """Mean rates of the blocks."""
        return units(self.profile).mean(budget.rates)

    def search(self, row: str, rate: float, seed: int, evaluations: int, archive: Path
               ) -> dict[str, Any]:
        """Best budget of a proposer, and how it went."""
        options = dict(ROWS[row])
        space = profile_space(self.profile, rate, lower=max(0.0, rate - 0.35),
                              upper=min(0.95, rate + 0.35))
        name, start = options.pop("proposer"), options.pop("start", "uniform")
        if options.pop("permuted", False):
            options["order"] = np.random.default_rng(seed).permutation(len(space)).tolist()
        if name == "llm":
            options["complete"] = LocalCompletion(self.loaded, "smollm2", seed=seed)
        if name != "line":
            options["start"] = [self.by_block(self.of_rule(start, rate))]
        found = search(space, self.fitness, make_proposer(name, space, seed=seed, **options),
                       evaluations, archive=archive)
        return {"budget": found.budget(), "selection": found.value, "record": found.record,
                "best_so_far": np.minimum.accumulate(found.values()).tolist()}

    def reported(self, budget: Budget) -> Perplexity:
        """Cut a fresh model and measure it on the report windows."""
        model: Any = ns.models.load("smollm2").model
        prune_structured(model, budget, self.calibration, method=METRIC, heads=HEADS)
        return ns.measure.perplexity(model, self.report, batch_size=2)


def run(arguments: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Measure what is not there yet, writing after every row."""
    table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    bench: Bench | None = None
    for rate in arguments.rates:
        for seed in range(arguments.seeds):
            for row in arguments.rows:
                key = f"{row}|{rate}|{arguments.evaluations}|{0 if row in RULES else seed}"
                if key in table:
                    continue
                bench = bench or Bench(windows=arguments.windows)
                begin = time.perf_counter()
                if row in RULES:
                    budget, about = bench.of_rule(row, rate), {"selection": None}
                else:
                    archive = Path(arguments.archives) / f"{key.replace('|', '-')}.jsonl"
                    archive.parent.mkdir(parents=True, exist_ok=True)
                    about = bench.search(row, rate, seed, arguments.evaluations, archive)
                    budget = about.pop("budget")
                spent = time.perf_counter() - begin
                found = bench.reported(budget)
                table[key] = {**about, "perplexity": found.value, "nll": found.nll.tolist(),
                              "predictions": found.predictions, "seconds": round(spent, 1)}
                write_json(path, table)
                print(f"{key:<44} {found.value:8.2f}  {spent:.0f} s", flush=True)
    return table


def show(table: dict[str, Any]) -> None:
    """Means over seeds, and the paired gap to uniform of the first."""
    def of(key: str) -> Perplexity:
        return Perplexity(np.array(table[key]["nll"]), table[key]["predictions"])

    for setting in sorted({tuple(key.split("|")[1:3]) for key in table}):
        print(f"\n{setting[0]} cut, {setting[1]} evaluations")
        base = f"uniform|{setting[0]}|{setting[1]}|0"
        for row in ROWS:
            keys = sorted(k for k in table if k.startswith(f"{row}|{setting[0]}|{setting[1]}|"))
            if not keys:
                continue
            values = np.array([table[key]["perplexity"] for key in keys])
            mean, error = paired_difference(of(base), of(keys[0])) if base in table else (0.0, 0.0)
            print(f"  {row:<28} {np.exp(np.log(values).mean()):8.2f}  seeds {len(keys)}, "
                  f"{values.min():.2f} to {values.max():.2f}; to uniform {mean:+.3f} +- "
                  f"{error:.3f}")


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--rates", nargs="+", type=float, default=[0.3])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--out", default="docs/measured/search.json")
    parser.add_argument("--archives", default="build/table-search")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if arguments.full:
        arguments.rates, arguments.evaluations = [0.2, 0.3, 0.5], 430
    if arguments.quick:
        arguments.evaluations, arguments.seeds, arguments.windows = 3, 1, 1
        arguments.rows = ["uniform", "evolution", "line"]
        arguments.out, arguments.archives = "build/search-quick.json", "build/table-search-quick"
    path = Path(arguments.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    show(json.loads(path.read_text()) if arguments.show else run(arguments, path))


if __name__ == "__main__":
    main()
