"""Recovery after a cut: SmolLM2 without 30 % of its blocks, before and after low-rank learning.

Run: python benchmarks/table_recovery.py              (goes on where it was stopped, in the middle
                                                       of learning too)
     python benchmarks/table_recovery.py --show       prints the table from what is there
     python benchmarks/table_recovery.py --quick      two rows of a few steps, to see that it runs
     python benchmarks/table_recovery.py --selection --learning-rate 2e-3 --rows propagation \
         --out build/recovery-2e-3.json               how a learning rate is chosen

docs/protocol.md: cut as the command does by default (FLAP, query heads, least squares, the first 16
calibration windows of 512), rates by the rule of the row; what learns sees the calibration windows
after the first 32 once, two an optimiser step; the first 16 windows of the report side report. Row
``dense`` cuts nothing: what the same text and the same learning give the whole model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import neurosparse as ns
from neurosparse.adaptation import TrainOptions, recover
from neurosparse.files import write_json
from neurosparse.measure import Perplexity, paired_difference, protocol
from neurosparse.measure.choice import choice_accuracy
from neurosparse.measure.choice_items import choice_items
from neurosparse.models import products_of
from neurosparse.pipeline.structured_rates import rates_by_rule
from neurosparse.pruning.structured import find_groups, prune_structured

RATE, LENGTH, CUTS, SKIPS, REPORTS, SELECTIONS = 0.3, 512, 16, 32, 16, 24
RANK, LEARNING_RATE = 8, 5e-3
# The rule of the rates (None cuts nothing), and what TrainOptions gets.
ROWS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "propagation": ("propagation", {}), "uniform": ("uniform", {}), "dense": (None, {}),
    "propagation, distilled": ("propagation", {"distill": 1.0}),
}


class Texts:
    """Windows that cut, learn and report, int64 tensors of shape (windows, length)."""

    def __init__(self, tokenizer: Any, arguments: argparse.Namespace) -> None:
        side = "selection" if arguments.selection else "report"
        cut = {one: ns.models.windows(tokenizer, protocol.side(one), length=LENGTH)
               for one in ("calibration", side)}
        most = 2 if arguments.quick else SELECTIONS if arguments.selection else REPORTS
        self.report = cut[side][:most]
        self.cuts = cut["calibration"][: 2 if arguments.quick else CUTS]
        self.data = cut["calibration"][SKIPS:][: -(-arguments.tokens // LENGTH)]
        self.items = choice_items()[: arguments.items]


def make(rule: str | None, texts: Texts) -> tuple[Any, dict[str, Any]]:
    """A model cut by the rates of a rule, and what went."""
    loaded = ns.models.load("smollm2")
    if rule is None:
        return loaded, {"removed": 0}
    groups = find_groups(loaded.model, heads="queries")
    budget = rates_by_rule(loaded.model, texts.cuts, groups, RATE, rule)
    done = prune_structured(loaded.model, budget, texts.cuts, heads="queries",
                            dtype=products_of(loaded.model, "auto"))
    return loaded, {"removed": done.removed, "rate": done.rate}


def score(model: nn.Module, tokenizer: Any, texts: Texts) -> dict[str, Any]:
    """Perplexity by window, choice accuracy."""
    found = ns.measure.perplexity(model, texts.report, batch_size=2)
    about = {"perplexity": found.value, "nll": found.nll.tolist(),
             "predictions": found.predictions}
    if texts.items:
        choice = choice_accuracy(model, tokenizer, texts.items)
        about |= {"accuracy": choice.value, "accuracy_stderr": choice.stderr,
                  "items": len(texts.items)}
    return about


def run(arguments: argparse.Namespace, path: Path) -> None:
    """Measure what is not there yet, writing after every row."""
    table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    texts = Texts(ns.models.load_tokenizer("smollm2"), arguments)
    for row in arguments.rows:
        key = f"{row}|{arguments.tokens}"
        if key in table:
            continue
        rule, options = ROWS[row]
        rate = arguments.learning_rate or LEARNING_RATE
        train = TrainOptions(**{"learning_rate": rate, **options})
        loaded, about = make(rule, texts)
        before = score(loaded.model, loaded.tokenizer, texts)
        print(f"{key}: cut {before['perplexity']:.2f}", flush=True)
        teacher = ns.models.load("smollm2").model if train.distill else None
        work = Path("build") / f"{path.stem}-{row}".replace(", ", "-")
        begin = time.perf_counter()
        done = recover(loaded.model, texts.data, rank=RANK, train=train, teacher=teacher,
                       folder=work, resume=True,
                       watch=lambda info: print(f"  step {info['step']}: {info['loss']:.3f}",
                                                flush=True))
        table[key] = {**about, "parameters": sum(p.numel() for p in loaded.model.parameters()),
                      "learning_rate": rate, "rank": RANK, "cut": before,
                      "recovered": score(loaded.model, loaded.tokenizer, texts),
                      "losses": [round(loss, 4) for loss in done.losses],
                      "seconds": round(time.perf_counter() - begin, 1)}
        write_json(path, table)
        shutil.rmtree(work)
        print(f"{key}: recovered {table[key]['recovered']['perplexity']:.2f}", flush=True)


def show(table: dict[str, Any]) -> None:
    """Before, after, their paired difference, and that to ``propagation``."""
    def of(key: str, when: str) -> Perplexity:
        return Perplexity(np.array(table[key][when]["nll"]), table[key][when]["predictions"])

    for key, row in table.items():
        name, _, tokens = key.rpartition("|")
        cut, recovered = of(key, "cut"), of(key, "recovered")
        gap, error = paired_difference(cut, recovered)
        print(f"{name}, {int(tokens):,} tokens: {row['parameters']:,} parameters, "
              f"{cut.value:.2f} +- {cut.stderr:.2f}, recovered {recovered.value:.2f} +- "
              f"{recovered.stderr:.2f} ({gap:+.3f} +- {error:.3f} nats; "
              f"{int((recovered.nll > cut.nll).sum())} of {len(cut.nll)} windows above the cut; "
              f"highest loss while learning {max(row['losses']):.2f})")
        if "accuracy" in row["cut"]:
            print("  choice " + ", ".join(
                f"{row[when]['accuracy']:.3f} +- {row[when]['accuracy_stderr']:.3f} {when}"
                for when in ("cut", "recovered")))
        first = f"propagation|{tokens}"
        if first in table and key != first:
            for when in ("cut", "recovered"):
                gap, error = paired_difference(of(first, when), of(key, when))
                middle = float(np.median(of(key, when).nll - of(first, when).nll))
                print(f"  {when}, to propagation {gap:+.3f} +- {error:.3f} nats, median "
                      f"{middle:+.3f}")


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--tokens", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=200, help="of the choice task")
    parser.add_argument("--out", default="docs/measured/recovery.json")
    parser.add_argument("--selection", action="store_true", help="report on the selection text")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.tokens, arguments.items = 2048, 4
        arguments.rows = ["uniform", "propagation, distilled"]
        arguments.out = "build/recovery-quick.json"
    path = Path(arguments.out)
    if not arguments.show:
        path.parent.mkdir(parents=True, exist_ok=True)
        run(arguments, path)
    show(json.loads(path.read_text()))


if __name__ == "__main__":
    main()
