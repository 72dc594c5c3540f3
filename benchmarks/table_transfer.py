"""What budgets chosen on English text do elsewhere: French, Spanish, and choosing sentences.

Run: make table-transfer     (goes on where it was stopped)
     python benchmarks/table_transfer.py --show         prints the table from what is there
     python benchmarks/table_transfer.py --quick        a few windows, to see that it runs

Profile, budget and pruning are those of table_budgets.py (32 English calibration windows, seed 0);
the pruned model then reads the report windows of the French and Spanish summaries, and answers the
items of the offline choice task (docs/protocol.md). Run table_budgets.py first: the row
``arithmetic`` takes the best step of its grid. Matrix products of pruning and of reading are in
bfloat16 where the processor has instructions for it, as in the commands; ``--products own``:
float32.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from table_budgets import MODELS, Bench, budget_of, profile_of, rows_in, table_parser

import neurosparse as ns
from neurosparse.files import write_json
from neurosparse.measure import (
    Accuracy,
    Perplexity,
    choice_accuracy,
    choice_items,
    paired_counts,
    paired_difference,
    protocol,
)

RULES = ("dense", "uniform", "arithmetic", "owl", "propagation", "uniform + refit",
         "propagation + refit")
LANGUAGES = ("fr", "es")


def elsewhere(bench: Bench, windows: int, choices: int) -> dict[str, Any]:
    """Likelihoods in the other languages, and which items were answered right."""
    row: dict[str, Any] = {}
    for language in LANGUAGES:
        text = ns.models.windows(bench.tokenizer, protocol.side("report", language), length=512)
        with bench.products():
            found = ns.measure.perplexity(bench.model, text[:windows], batch_size=2)
        row[language] = {"nll": found.nll.tolist(), "predictions": found.predictions}
    with bench.products():
        right = choice_accuracy(bench.model, bench.tokenizer, choice_items(choices)).right
    row["choice"] = right.astype(int).tolist()
    return row


def run(arguments: argparse.Namespace) -> None:
    """Measure what is not there yet, writing after every row."""
    for name in arguments.models:
        path = Path(arguments.out) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        english = Path(arguments.table) / f"{name}.json"
        grids = json.loads(english.read_text()) if english.is_file() else {}
        bench: Bench | None = None
        for rule in arguments.rules:
            key = f"{name}|{rule}|{0.0 if rule == 'dense' else arguments.sparsity}"
            if key in table:
                continue
            bench = bench or Bench(name, 1, arguments.calibration)
            bench.dtype = ns.models.products_of(bench.model, arguments.products)
            budget = None
            if rule != "dense":
                found = profile_of(bench, 0, rule, [rule], arguments.sparsity,
                                   Path(arguments.profiles))
                budget = budget_of(bench, found, rule, arguments.sparsity, 0, grids)
            bench.prune(budget, 0, rule.partition(" + ")[2])
            table[key] = elsewhere(bench, arguments.windows, arguments.choices)
            table[key]["products"] = str(bench.dtype or torch.float32)
            write_json(path, table)
            print(key, "done", flush=True)


def show(table: dict[str, Any]) -> None:
    """Perplexities, accuracy with its binomial error, and the paired gaps to ``propagation``."""
    for name in MODELS:
        rows = {key.split("|")[1]: row for key, row in table.items() if key.startswith(f"{name}|")}
        if not rows:
            continue
        print(f"\n{name}")
        for rule, row in rows.items():
            cells = []
            for language in LANGUAGES:
                here, ours = (Perplexity(np.array(one[language]["nll"]),
                                         one[language]["predictions"])
                              for one in (row, rows.get("propagation", row)))
                mean, error = paired_difference(ours, here)
                cells.append(f"{language} {here.value:8.2f} ({mean:+.3f} +- {error:.3f})")
            right, best = (Accuracy(np.array(one["choice"], bool))
                           for one in (row, rows.get("propagation", row)))
            lost, won = paired_counts(best, right)
            cells.append(f"choice {100 * right.value:5.1f} +- {100 * right.stderr:.1f} % "
                         f"(+{won} -{lost} items)")
            print(f"  {rule:<22}" + "   ".join(cells))


def main() -> None:
    """Parse, measure, show."""
    parser = table_parser(__doc__ or "", RULES, 32, "docs/measured/table_transfer")
    parser.add_argument("--sparsity", type=float, default=0.6)
    parser.add_argument("--choices", type=int, default=500)
    parser.add_argument("--products", default="auto", choices=ns.models.PRODUCTS)
    parser.add_argument("--table", default="docs/measured/table_budgets")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.windows, arguments.choices, arguments.calibration = 2, 4, 2
        arguments.models, arguments.rules = ["smollm2"], ["uniform", "propagation"]
        arguments.out = arguments.profiles = "build/table-transfer-quick"
    if not arguments.show:
        run(arguments)
    show(rows_in(arguments.out))


if __name__ == "__main__":
    main()
