"""LoSA and what it is made of: perplexity and choice accuracy at 70 %, equal steps and tokens.

Run: make table-losa         (one seed, 50 k training tokens, products in bfloat16 where that is
                             fast; goes on where it was stopped)
     python benchmarks/table_losa.py --full         3 seeds, 200 k tokens and a curve to 2 M
     python benchmarks/table_losa.py --show         prints the table from what is there
     python benchmarks/table_losa.py --show --to "ours, distilled"     compared with another row
     python benchmarks/table_losa.py --quick        two rows of a few steps, to see that it runs
     python benchmarks/table_losa.py --device cuda  on a card; keep such rows in a file of their own
     python benchmarks/table_losa.py --workers 1    one row after the other, with all threads
     python benchmarks/table_losa.py --products auto --out docs/measured/losa_bf16.json
                                                    products in bfloat16 where that is fast

SmolLM2-135M by docs/protocol.md: the first 32 windows of the calibration side prune, the windows
after them are learnt from (seed s: drawn), the first 16 windows of the report side report. Every
row that learns has the same windows, batches, learning rate and schedule; low-rank rows have the
same mean rank. The learning rates were chosen on the selection text:
``--selection --learning-rate 2e-3 --rows "ours, distilled" --out build/losa-2e-3.json``.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from side_by_side import side_by_side
from torch import Tensor, nn

import neurosparse as ns
from neurosparse.adaptation import TrainOptions, losa
from neurosparse.adaptation.config import linears_of
from neurosparse.adaptation.training import Training, order_of
from neurosparse.files import write_json
from neurosparse.measure import Perplexity, paired_difference, protocol
from neurosparse.measure.choice import choice_accuracy
from neurosparse.measure.choice_items import choice_items

SPARSITY, LENGTH, PRUNES, REPORTS, SELECTIONS = 0.7, 512, 32, 16, 24
RATE, RATE_VALUES = 5e-3, 2e-4
LOSA = "+ ranks by error = LoSA"
OURS: dict[str, Any] = {"rule": "propagation", "refit": 0.3, "ranks": "damage", "steps": 1}
DISTILLED = {"distill": 1.0}
# What losa() is asked for, the part for TrainOptions under "train".
ROWS: dict[str, dict[str, Any]] = {
    "dense": {}, "dense, tuned": {},
    "uniform Wanda": {}, "propagation, re-fit": {},
    "uniform, LoRA merged and masked": {},
    "uniform, masked LoRA": {"rule": "uniform", "ranks": "equal"},
    "+ RMI rates": {"ranks": "equal"},
    LOSA: {},
    "LoSA, distilled": {"train": DISTILLED},
    "ours": OURS,
    "ours, distilled": {**OURS, "train": DISTILLED},
    "ours, distilled, kept values": {**OURS, "update": "values", "ranks": "equal",
                                     "train": {**DISTILLED, "learning_rate": RATE_VALUES}},
}

SHORT_ROWS = ("dense", "uniform Wanda")


class Bench:
    """The model, its dense weights, and the texts."""

    def __init__(self, seed: int, tokens: int, side: str = "report", device: str = "cpu",
                 products: str = "own") -> None:
        loaded = ns.models.load("smollm2", device=device)
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.dtype = ns.models.products_of(self.model, products)
        self.targets = ns.models.find_targets(self.model)
        self.dense = [ns.models.get_weight(self.model, t).clone() for t in self.targets]
        self.teacher = copy.deepcopy(self.model).requires_grad_(False)
        cut = {one: ns.models.windows(self.tokenizer, protocol.side(one), length=LENGTH)
               for one in ("calibration", side)}
        self.report = cut[side][: REPORTS if side == "report" else SELECTIONS]
        self.prunes = cut["calibration"][:PRUNES]
        after = cut["calibration"][PRUNES:]
        count = -(-tokens // LENGTH)
        # Beyond the text it is seen again, in another order.
        rounds = [protocol.draw(after, len(after), seed=seed or None)] * -(-count // len(after))
        self.data = torch.cat(rounds)[:count]
        self.items = choice_items()

    def restore(self) -> None:
        """The dense model again, without adapters."""
        for target, weight in zip(self.targets, self.dense, strict=True):
            ns.models.set_weight(self.model, target, weight)
        self.model.requires_grad_(False).eval()


def plain_lora(bench: Bench, train: TrainOptions, rank: int, keep: list[Tensor] | None) -> None:
    """PEFT's LoRA, merged; with ``keep`` masked again afterwards."""
    model: Any = bench.model
    torch.manual_seed(train.seed)
    names = linears_of(model)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), model)
    order = order_of(len(bench.data), train)
    training = Training(model, [p for p in model.parameters() if p.requires_grad], len(order),
                        train)
    model.train()
    for batch in order:
        training.step(bench.data[batch])
    for name in names:
        layer = model.get_submodule(name)
        layer.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.get_base_layer())
    if keep is not None:
        for target, mask in zip(bench.targets, keep, strict=True):
            weight = ns.models.get_weight(model, target)
            weight.copy_(weight * mask)
    model.requires_grad_(False)


def change(bench: Bench, row: str, seed: int, rate: float | None, quick: bool
           ) -> dict[str, Any]:
    """Make the row's model in place; what there is to say about it."""
    bench.restore()
    options = dict(ROWS[row])
    train = TrainOptions(**{"learning_rate": RATE, "seed": seed, "dtype": bench.dtype,
                            **options.pop("train", {})})
    if rate is not None:
        train = replace(train, learning_rate=rate)
    rank = 8
    if row == "dense":
        return {}
    if row == "dense, tuned":
        plain_lora(bench, train, rank, None)
        return {}
    if row in ("uniform Wanda", "propagation, re-fit", "uniform, LoRA merged and masked"):
        ours = row.startswith("propagation")
        rule = "propagation" if ours else "uniform"
        wanted: list[Any] = [ns.measure.PropagationCollector(SPARSITY)] if ours else []
        found = (ns.measure.profile(bench.model, bench.prunes, evidence=wanted, dtype=bench.dtype)
                 if ours
                 else ns.measure.sizes_only(bench.model))
        budget = ns.budgets.allocate(found, SPARSITY, rule=rule,
                                     **({"compensated": True} if ours else {}))
        ns.pruning.prune(bench.model, budget, bench.prunes, dtype=bench.dtype,
                         refit=ns.pruning.Refit() if ours else None)
        if "LoRA" in row:
            keep = [ns.models.get_weight(bench.model, t) != 0 for t in bench.targets]
            plain_lora(bench, train, rank, keep)
        return {}
    steps = options.pop("steps", 5)
    done = losa(bench.model, bench.data, calibration=bench.prunes, teacher=bench.teacher,
                sparsity=SPARSITY, steps=1 if quick else steps, rank=rank, train=train,
                dtype=bench.dtype, **options)
    return {"losses": [round(loss, 4) for loss in done.losses],
            "sparsities": [one["sparsity"] for one in done.steps],
            "mean_ranks": [float(np.mean(list(one["ranks"].values()))) for one in done.steps],
            "learn_s": round(sum(one["seconds"] for one in done.steps), 1)}


@functools.lru_cache(maxsize=1)
def bench_of(seed: int, tokens: int, side: str, device: str, products: str) -> Bench:
    """The one bench of this process: rows of one seed and length follow each other."""
    return Bench(seed, tokens, side, device, products)


def measure(arguments: argparse.Namespace, row: str, tokens: int, seed: int) -> dict[str, Any]:
    """One row of the table."""
    bench = bench_of(seed, tokens, "selection" if arguments.selection else "report",
                     arguments.device, arguments.products)
    begin = time.perf_counter()
    about = change(bench, row, seed, arguments.learning_rate, arguments.quick)
    spent = time.perf_counter() - begin
    return {**about, **score(bench, arguments.items), "seconds": round(spent, 1)}


def run(arguments: argparse.Namespace, path: Path) -> None:
    """Measure what is not there yet, writing after every row."""
    table: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    wanted = [(row, tokens, seed) for tokens in arguments.tokens
              for seed in range(arguments.seeds) for row in arguments.rows
              if f"{row}|{tokens}|{seed}" not in table]
    # The long ones first: the last row of one process must not keep the others waiting.
    wanted.sort(key=lambda one: (one[1], one[2], one[0] in SHORT_ROWS))
    begin = time.perf_counter()
    for (row, tokens, seed), found in side_by_side(functools.partial(measure, arguments), wanted,
                                                   arguments.workers):
        key = f"{row}|{tokens}|{seed}"
        table[key] = found
        write_json(path, table)
        print(f"{key:<48} {found['perplexity']:8.2f} choice {found['accuracy']:.3f}  "
              f"{found['seconds']:.0f} s, {(time.perf_counter() - begin) / 60:.0f} min in all",
              flush=True)


def score(bench: Bench, items: int) -> dict[str, Any]:
    """Perplexity by window, choice accuracy, zeros."""
    model: nn.Module = bench.model
    found = ns.measure.perplexity(model, bench.report, batch_size=2)
    choice = choice_accuracy(model, bench.tokenizer, bench.items[:items])
    zeros = sum(int((ns.models.get_weight(model, t) == 0).sum()) for t in bench.targets)
    return {"perplexity": found.value, "nll": found.nll.tolist(),
            "predictions": found.predictions, "accuracy": choice.value,
            "accuracy_stderr": choice.stderr, "items": items,
            "sparsity": zeros / sum(t.size for t in bench.targets)}


def show(table: dict[str, Any], to: str = LOSA) -> None:
    """One line a row: means over seeds, and the paired gap to a row of the first seed."""
    def of(key: str) -> Perplexity:
        return Perplexity(np.array(table[key]["nll"]), table[key]["predictions"])

    for tokens in sorted({int(key.split("|")[1]) for key in table}):
        print(f"\n{tokens} training tokens")
        for row in ROWS:
            keys = sorted(key for key in table if key.startswith(f"{row}|{tokens}|"))
            if not keys:
                continue
            value = float(np.exp(np.mean([of(key).nll.mean() for key in keys])))
            accuracy = float(np.mean([table[key]["accuracy"] for key in keys]))
            base, gap = f"{to}|{tokens}|0", ""
            if base in table and row != to:
                mean, error = paired_difference(of(base), of(keys[0]))
                gap = f"to {'LoSA' if to == LOSA else to} {mean:+.3f} +- {error:.3f}"
            print(f"  {row:<34} {value:8.2f}  choice {accuracy:.3f} +- "
                  f"{table[keys[0]]['accuracy_stderr']:.3f}  zeros {table[keys[0]]['sparsity']:.4f}"
                  f"  {table[keys[0]]['seconds']:6.0f} s  {gap}")


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--tokens", nargs="+", type=int, default=[50_000])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2,
                        help="processes, each with its share of the threads and its own model")
    parser.add_argument("--products", default="own", choices=ns.models.PRODUCTS,
                        help="own: float32, as the protocol has it; reports always are")
    parser.add_argument("--items", type=int, default=200, help="of the choice task")
    parser.add_argument("--out", default="docs/measured/losa.json")
    parser.add_argument("--selection", action="store_true", help="report on the selection text")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--to", default=LOSA, choices=list(ROWS),
                        help="the row that all are compared with")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if arguments.full:
        arguments.tokens, arguments.seeds, arguments.items = [200_000, 2_000_000], 3, 2000
    if arguments.quick:
        arguments.tokens, arguments.items = [2048], 4
        arguments.rows = ["uniform, masked LoRA", "ours, distilled"]
        arguments.out = "build/table-losa-quick.json"
    path = Path(arguments.out)
    if not arguments.show:
        path.parent.mkdir(parents=True, exist_ok=True)
        run(arguments, path)
    show(json.loads(path.read_text()), arguments.to)


if __name__ == "__main__":
    main()
