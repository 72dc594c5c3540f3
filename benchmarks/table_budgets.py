"""The table of budgets: perplexity by rule, sparsity, model and calibration seed.

Run: make table-budgets      (hours on two cores; goes on where it was stopped)
     python benchmarks/table_budgets.py --show          prints the table from what is there
     python benchmarks/table_budgets.py --show --windows 16      of the first 16 windows alone
     python benchmarks/table_budgets.py --show --to uniform      compared with another row
     python benchmarks/table_budgets.py --show --markdown        as docs/rules.md has it
     python benchmarks/table_budgets.py --selection --power 9 --rules "propagation + sparsegpt"
                                                        how the rule's power was chosen
     python benchmarks/table_budgets.py --quick         a few windows, to see that it runs

Every row: budget by the rule from one profile of 32 calibration windows, pruned sequentially with
Wanda, SparseGPT (``+ sparsegpt``) or SparseGPT under a re-fit (``+ refit``), 64 report windows of
docs/protocol.md. Seed 0 takes the first calibration windows, others
draw theirs. ATP's step is the best of the grid 0.002 ... 0.018 on the first 16 windows of the
*report* text (what the paper does); the others see no report text at all.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurosparse as ns
from neurosparse.budgets import Budget, allocate, evidence_for
from neurosparse.files import write_json
from neurosparse.measure import (
    Perplexity,
    ProgressionCollector,
    PropagationCollector,
    paired_difference,
    protocol,
)
from neurosparse.pruning import propagation_options

MODELS = ("smollm2", "gemma3-270m")
SPARSITIES = (0.5, 0.6, 0.7)
RULES: dict[str, dict[str, Any]] = {
    "uniform": {}, "propagation": {}, "arithmetic": {}, "arithmetic predicted": {},
    "owl": {}, "alpha": {}, "dlp": {}, "representation": {}, "fisher-trace": {},
    "lsa": {}, "absorption": {}, "er": {}, "global": {},
    "uniform + sparsegpt": {}, "propagation + sparsegpt": {},
    "uniform + refit": {}, "propagation + refit": {},
}
PATHS = {one.name: one for one in (PropagationCollector, ProgressionCollector)}
SEEDED = ("uniform", "arithmetic", "propagation", "uniform + sparsegpt", "propagation + sparsegpt",
          "uniform + refit", "propagation + refit")
# What is compared under every calibration.
PAIRS = (("uniform", "propagation"), ("arithmetic", "propagation"),
         ("uniform + sparsegpt", "propagation + sparsegpt"),
         ("uniform + refit", "propagation + refit"))
GRID = tuple(round(0.002 * at, 3) for at in range(1, 10))


class Bench:
    """One model in memory, its dense weights kept beside it."""

    def __init__(self, name: str, windows: int, calibration: int, side: str = "report") -> None:
        loaded = ns.models.load(name)
        self.name, self.model, self.tokenizer = name, loaded.model, loaded.tokenizer
        self.targets = ns.models.find_targets(self.model)
        self.dense = [ns.models.get_weight(self.model, t).clone() for t in self.targets]
        cut = {one: ns.models.windows(loaded.tokenizer, protocol.side(one), length=512)
               for one in ("calibration", side)}
        self.report, self.whole = cut[side][:windows], cut["calibration"]
        self.count = calibration
        self.dtype: torch.dtype | None = None  # of matrix products; the model's own
        self.power: float | None = None
        self.spread: float | None = None

    def calibration(self, seed: int) -> torch.Tensor:
        """The first windows for seed 0, else drawn."""
        return protocol.draw(self.whole, self.count, seed=seed or None)

    def restore(self) -> None:
        """The dense model again."""
        for target, weight in zip(self.targets, self.dense, strict=True):
            ns.models.set_weight(self.model, target, weight)

    def products(self) -> AbstractContextManager[object]:
        """Around forward passes: matrix products in ``dtype``."""
        return ns.models.multiplying(self.model, self.dtype)

    def prune(self, budget: Budget | None, seed: int, solver: str = "") -> float:
        """Prune the dense model; the seconds it took."""
        self.restore()
        begin = time.perf_counter()
        if budget is not None:
            ns.pruning.prune(self.model, budget, self.calibration(seed),
                             method="sparsegpt" if solver else "wanda", dtype=self.dtype,
                             refit=ns.pruning.Refit() if solver == "refit" else None)
        return time.perf_counter() - begin

    def measure(self, budget: Budget | None, seed: int, windows: int | None = None,
                solver: str = "") -> tuple[Perplexity, float]:
        """Perplexity of the pruned model on the report windows, and the seconds of pruning."""
        spent = self.prune(budget, seed, solver)
        with self.products():
            return ns.measure.perplexity(self.model, self.report[:windows], batch_size=2), spent


def profile_of(bench: Bench, seed: int, rule: str, rules: list[str], sparsity: float,
               folder: Path) -> ns.budgets.Profile:
    """One profile for all published rules; for ours one a sparsity, as ``compress`` makes it."""
    ours = rule.startswith("propagation") or rule == "arithmetic predicted"
    kind = "-progression" if rule.startswith("arithmetic") else ""
    path = folder / f"{bench.name}-{seed}{f'-{sparsity}{kind}' if ours else ''}.h5"
    wanted = {name for one in ([rule] if ours else rules) for name in evidence_of(one)
              if ours or name not in PATHS}
    if path.is_file():
        found = ns.budgets.Profile.read(path)
        have = set(found.evidence) | ({"curves"} if found.curves is not None else set())
        if wanted <= have:
            return found
    bench.restore()
    # Everything in float32, as docs/protocol.md says.
    collectors = [PATHS[name](sparsity, products="own") if name in PATHS else name
                  for name in sorted(wanted)]
    found = ns.measure.profile(bench.model, bench.calibration(seed), evidence=collectors)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.write(path)
    return found


def evidence_of(rule: str) -> tuple[str, ...]:
    """Evidence of a row."""
    if rule == "arithmetic":
        return ()
    name, _, step = rule.partition(" + ")[0].partition(" ")
    return evidence_for(name, **({"step": step} if step else {}))


def budget_of(bench: Bench, found: ns.budgets.Profile, rule: str, sparsity: float, seed: int,
              table: dict[str, Any]) -> Budget:
    """Budget of a row; ATP's needs its grid, once for seed 0."""
    if rule != "arithmetic":
        name, _, step = rule.partition(" + ")[0].partition(" ")
        options: dict[str, Any] = {"step": step} if step else {}
        if name == "propagation" and " + " in rule:
            options |= propagation_options("sparsegpt", 1.0 if rule.endswith("refit") else None)
        if name == "propagation" and bench.power is not None:
            options["stiffness"] = bench.power / (1 - sparsity)
        if name == "propagation" and bench.spread is not None:
            options["spread"] = bench.spread
        return allocate(found, sparsity, rule=name, **options)
    key = f"{bench.name}|grid|{sparsity}"
    grid = table.setdefault(key, {})
    for step in GRID:
        if str(step) not in grid:
            budget = allocate(found, sparsity, rule="arithmetic", step=step)
            grid[str(step)] = bench.measure(budget, 0, 16)[0].value
    best = min(grid, key=lambda step: grid[step])
    return allocate(found, sparsity, rule="arithmetic", step=float(best))


def run(arguments: argparse.Namespace) -> None:
    """Measure what is not there yet, writing after every row."""
    for name in arguments.models:
        path = Path(arguments.out) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        bench: Bench | None = None
        for seed in range(arguments.seeds):
            rules = [rule for rule in arguments.rules if not seed or rule in SEEDED]
            for sparsity in arguments.sparsities:
                for rule in (["dense"] if not seed else []) + rules:
                    key = f"{name}|{rule}|{0.0 if rule == 'dense' else sparsity}|{seed}"
                    if key in table:
                        continue
                    bench = bench or Bench(name, arguments.windows, arguments.calibration,
                                           "selection" if arguments.selection else "report")
                    bench.power, bench.spread = arguments.power, arguments.spread
                    budget = None
                    if rule != "dense":
                        found = profile_of(bench, seed, rule, rules, sparsity,
                                           Path(arguments.profiles))
                        budget = budget_of(bench, found, rule, sparsity, seed, table)
                    result, spent = bench.measure(budget, seed, solver=rule.partition(" + ")[2])
                    table[key] = {"nll": result.nll.tolist(), "predictions": result.predictions,
                                  "prune_s": round(spent, 1),
                                  "notes": {} if budget is None else
                                  {**budget.rule.options, **budget.rule.notes}}
                    if path.is_file():  # what another process wrote meanwhile stays
                        table = json.loads(path.read_text()) | table
                    write_json(path, table)
                    print(f"{key:<48} {result.value:8.2f} +- {result.stderr:.2f}", flush=True)


def show(table: dict[str, Any], windows: int, to: str = "propagation") -> None:
    """Perplexity (mean over seeds) on the first windows, and the paired gap to a row."""
    def of(name: str, rule: str, sparsity: float) -> list[Perplexity]:
        rows = [row for key, row in table.items() if key.startswith(f"{name}|{rule}|{sparsity}|")]
        return [Perplexity(np.array(row["nll"])[:windows], row["predictions"]) for row in rows]

    models = [m for m in MODELS if any(key.startswith(f"{m}|") for key in table)]
    for name in models:
        print(f"\n{name}")
        for rule in RULES:
            cells = []
            for sparsity in SPARSITIES:
                found, base = of(name, rule, sparsity), of(name, to, sparsity)
                if not found:
                    cells.append(f"{'':24}")
                    continue
                value = math.exp(float(np.mean([one.nll.mean() for one in found])))
                gap = ""
                if base and rule != to:
                    mean, error = paired_difference(base[0], found[0])
                    gap = f"({mean:+.3f} +- {error:.3f})"
                cells.append(f"{value:8.2f} {gap:<18}")
            print(f"  {rule:<22}" + " ".join(cells))


# Rows of the docs; those of an earlier power were measured with earlier profiles.
_DOCS = ("uniform", "er", "global", "owl", "alpha", "dlp", "representation", "fisher-trace", "lsa",
         "absorption", "arithmetic", "arithmetic predicted", "propagation", "uniform + sparsegpt",
         "propagation, power 6 + sparsegpt", "propagation + sparsegpt", "uniform + refit",
         "propagation, power 6 + refit", "propagation, spread 1 + refit",
         "propagation, spread 0.5 + refit", "propagation + refit")


def found_in(table: dict[str, Any], name: str, rule: str, sparsity: float, seed: int = 0
             ) -> Perplexity | None:
    """A cell, where it was measured."""
    row = table.get(f"{name}|{rule}|{sparsity}|{seed}")
    return row and Perplexity(np.array(row["nll"]), row["predictions"])


def three_digits(value: float) -> str:
    """12.3, 123, 1234."""
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def markdown(table: dict[str, Any], name: str) -> None:
    """Seed 0 of a model; paired to ``propagation`` with the same solver, which has its error."""
    print(f"\n| {name} | 50 % | 60 % | 70 % |\n|---|---|---|---|")
    for rule in _DOCS:
        solver = rule.partition(" + ")[2]
        ours = f"propagation + {solver}" if solver else "propagation"
        cells = []
        for sparsity in SPARSITIES:
            found = found_in(table, name, rule, sparsity)
            best = found_in(table, name, ours, sparsity)
            text = three_digits(found.value) if found else ""
            if found and rule == ours:
                text += f" ± {found.stderr:.1f}"
            elif found and best:
                mean, error = paired_difference(best, found)
                text += f" ({mean:+.3f} ± {error:.3f})"
            cells.append(text)
        if any(cells):
            label = rule.replace(", power 6", ", k = 6 / (1 - S)")
            print(f"| `{label}` | {' | '.join(cells)} |")


def calibrations(table: dict[str, Any], name: str) -> None:
    """Pairs of rows of every calibration seed, paired seed by seed."""
    for one, other in PAIRS:
        lines = []
        for seed in range(3):
            cells = [_pair(table, name, (one, other), sparsity, seed) for sparsity in SPARSITIES]
            if any(cells):
                said = "first windows" if not seed else f"drawn, {seed}"
                lines.append(f"| {said} | {' | '.join(cells)} |")
        if len(lines) > 1:
            print(f"\n| {name}: `{one}` to `{other}` | 50 % | 60 % | 70 % |\n|---|---|---|---|")
            print("\n".join(lines))


def _pair(table: dict[str, Any], name: str, rules: tuple[str, str], sparsity: float, seed: int
          ) -> str:
    one, other = (found_in(table, name, rule, sparsity, seed) for rule in rules)
    if not (one and other):
        return ""
    mean, error = paired_difference(one, other)
    return (f"{three_digits(one.value)} to {three_digits(other.value)} "
            f"({mean:+.3f} ± {error:.3f})")


def table_parser(about: str, rules: Iterable[str], windows: int, out: str
                 ) -> argparse.ArgumentParser:
    """The arguments that both tables take."""
    parser = argparse.ArgumentParser(description=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--rules", nargs="+", default=list(rules))
    parser.add_argument("--windows", type=int, default=windows)
    parser.add_argument("--calibration", type=int, default=32)
    parser.add_argument("--out", default=out)
    parser.add_argument("--profiles", default="build/table-budgets")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--quick", action="store_true")
    return parser


def rows_in(folder: str) -> dict[str, Any]:
    """All rows that were measured, of every model."""
    files = sorted(Path(folder).glob("*.json"))
    return {key: row for file in files for key, row in json.loads(file.read_text()).items()}


def main() -> None:
    """Parse, measure, show."""
    parser = table_parser(__doc__ or "", RULES, 64, "docs/measured/table_budgets")
    parser.add_argument("--sparsities", nargs="+", type=float, default=list(SPARSITIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--selection", action="store_true",
                        help="where choices are made: 24 windows of the selection text")
    parser.add_argument("--power", type=float,
                        help="of one over the density that stays, in the rule's k")
    parser.add_argument("--spread", type=float,
                        help="share of their distance from the mean that the rule's rates keep")
    parser.add_argument("--to", default="propagation", choices=list(RULES),
                        help="the row that all are compared with")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    if arguments.selection or arguments.power is not None or arguments.spread is not None:
        arguments.windows = 24 if arguments.selection else arguments.windows
        side = "selection" if arguments.selection else "report"
        arguments.out = (f"build/table-budgets-{side}-power-{arguments.power}"
                         f"-spread-{arguments.spread}")
    if arguments.quick:
        arguments.windows, arguments.calibration, arguments.seeds = 2, 2, 1
        arguments.models, arguments.sparsities = ["smollm2"], [0.6]
        arguments.rules = ["uniform", "propagation", "owl"]
        arguments.out = arguments.profiles = "build/table-budgets-quick"
    if not arguments.show:
        run(arguments)
    if arguments.markdown:
        for name in arguments.models:
            markdown(rows_in(arguments.out), name)
            calibrations(rows_in(arguments.out), name)
    else:
        show(rows_in(arguments.out), arguments.windows, arguments.to)


if __name__ == "__main__":
    main()
