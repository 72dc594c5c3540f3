"""How far do the outputs of single linears move when their weights are rounded?

    python benchmarks/bench_rounding.py out/model [--json docs/measured/bench_rounding.json]

The linears of the first blocks of a packed model: rounded to nearest, by their inputs column after
column, and by falling diagonal of the Gram matrix. Rounded with 8 calibration windows; the squared
error of the outputs over their square is that of 8 other windows, averaged over the linears.
Perplexities of the whole model: table_rounding.py.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

import neurosparse as ns
from neurosparse.files import write_json
from neurosparse.measure import protocol
from neurosparse.models import BlockWalk, find_targets, get_weight, load_tokenizer, watch_inputs
from neurosparse.pruning import StatisticsByTarget, round_weight

WAYS: tuple[tuple[str, bool, bool], ...] = (
    ("nearest", False, False), ("in order", True, False), ("by falling diagonal", True, True))


def grams(model: Any, tokens: torch.Tensor, blocks: int) -> dict[str, torch.Tensor]:
    """Gram matrix of the inputs of every linear of the first blocks."""
    walk, found = BlockWalk(model, tokens, batch_size=4), {}
    for index in range(blocks):
        targets = [target for target in find_targets(model) if target.block == index]
        statistics = StatisticsByTarget(gram=True)
        with (walk.block(index),
              watch_inputs(model, targets, lambda t, x, s=statistics: s.add(t.name, x))):
            walk.run(index, keep=True)
        found |= {name: seen.gram for name, seen in statistics.by_name.items()}
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="out/model")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    model = ns.measure.dense_twin(ns.sparse.load(arguments.model), dtype=torch.float32)
    text = ns.models.windows(load_tokenizer(arguments.model), protocol.side("calibration"),
                             length=protocol.WINDOW)
    seen, other = (grams(model, part, arguments.blocks) for part in (text[:8], text[40:48]))
    table = []
    for bits, group in ((8, None), (4, 64)):
        for name, known, order in WAYS:
            errors = []
            for target in find_targets(model):
                if target.block >= arguments.blocks:
                    continue
                weight, gram = get_weight(model, target), other[target.name]
                rounded = round_weight(weight, weight != 0, seen[target.name] if known else None,
                                       bits=bits, group=group, by_importance=order)
                gap = rounded.dense() - weight
                errors.append(float(((gap @ gram) * gap).sum() / ((weight @ gram) * weight).sum()))
            mean = sum(errors) / len(errors)
            table.append({"bits": bits, "group": group, "way": name, "error": mean,
                          "linears": len(errors)})
            print(f"int{bits} group {group or 'row':<5}{name:<22}{mean:.3e}", flush=True)
    if arguments.json:
        write_json(arguments.json, table)


if __name__ == "__main__":
    main()
