"""Perplexity beside every size: a pruned model in bf16, and rounded to int8 and int4 two ways.

    python benchmarks/table_rounding.py out/model [--json docs/measured/rounding.json]
        [--only "int4 group 64, GPTQ" ...]     other rows stay as the file has them

Takes a packed model (bf16 values), writes it out dense in float32, and rounds the kept weights of
all blocks to nearest, or by their inputs (GPTQ under the mask, 16 calibration windows). int8 has
one scale a row, int4 one for every group of columns. Each is stored: the folder is saved, loaded,
and compared entry by entry. Bytes are of the packed matrices (bitmap, values and scales) and of the
file of weights, whose vocabulary is bfloat16 as in the perplexity beside it. Perplexity on report
windows of the protocol.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurosparse as ns
from neurosparse.files import read_json, size_of, write_json
from neurosparse.measure import Perplexity, paired_difference, protocol
from neurosparse.models import find_targets, get_weight, load_tokenizer, set_weight
from neurosparse.pruning import round_model, round_weight

ROWS = (("bf16", 16, None, False), ("int8, to nearest", 8, None, False),
        ("int8, GPTQ", 8, None, True),
        *((f"int4 group {group}, {'GPTQ' if known else 'to nearest'}", 4, group, known)
          for group in (64, 128, 32) for known in (False, True)))
KINDS = {16: "bf16", 8: "int8", 4: "int4"}


def dense_copy(folder: str) -> Any:
    """The model dense in float32, the values as they are stored."""
    return ns.measure.dense_twin(ns.sparse.load(folder), dtype=torch.float32)


def round_to_nearest(model: Any, bits: int, group: int | None) -> None:
    """All targets without looking at inputs."""
    for target in find_targets(model):
        weight = get_weight(model, target)
        set_weight(model, target,
                   round_weight(weight, weight != 0, None, bits=bits, group=group).dense())


def count_bytes(shapes: dict[str, tuple[int, int]], kept: dict[str, int], bits: int,
                group: int | None) -> int:
    """Bytes of all packed matrices with their masks as they came."""
    return sum(ns.sparse.packed_bytes(*shapes[name], kept[name], KINDS[bits], group)
               for name in shapes)


def stored(model: Any, bits: int, group: int | None) -> dict[str, Any]:
    """Save, load, and compare every entry; bytes of the weights file."""
    with tempfile.TemporaryDirectory() as folder:
        ns.sparse.save(model, Path(folder) / "m", values=KINDS[bits], group_size=group,
                       vocabulary="dense")
        again = ns.sparse.load(Path(folder) / "m")
        same = all(torch.equal(again.get_submodule(target.name).to_dense(),
                               get_weight(model, target)) for target in find_targets(model))
        return {"exact": same, "weights_file": size_of(Path(folder) / "m" / "model.safetensors")}


def main() -> None:
    """Measure row by row, print and write."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="out/model")
    parser.add_argument("--json", default="docs/measured/rounding.json")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--calibration", type=int, default=16)
    parser.add_argument("--side", default="report", choices=("report", "selection"))
    parser.add_argument("--only", nargs="+", help="names of rows")
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments.model)
    seen = ns.models.windows(tokenizer, protocol.side("calibration"), length=protocol.WINDOW)
    text = ns.models.windows(tokenizer, protocol.side(arguments.side), length=protocol.WINDOW)
    first: Perplexity | None = None
    table: dict[str, Any] = {"model": arguments.model, "side": arguments.side, "rows": {}}
    if arguments.only:
        table = read_json(arguments.json)
        first = Perplexity(np.array(table["rows"]["bf16"]["nll"]), protocol.WINDOW - 1)
    for name, bits, group, known in ROWS:
        if arguments.only and name not in arguments.only:
            continue
        model = dense_copy(arguments.model)
        targets = find_targets(model)
        shapes = {target.name: target.shape for target in targets}
        kept = {t.name: int(torch.count_nonzero(get_weight(model, t))) for t in targets}
        begin, notes = time.perf_counter(), []
        if known:
            notes = round_model(model, protocol.draw(seen, arguments.calibration), bits=bits,
                                group=group).notes
        elif bits < 16:
            round_to_nearest(model, bits, group)
        seconds = time.perf_counter() - begin
        found = ns.measure.perplexity(model, text[: arguments.windows])
        first = first or found
        mean, error = paired_difference(first, found)
        row = {"perplexity": found.value, "stderr": found.stderr, "nats_more": mean,
               "nats_more_stderr": error, "packed_bytes": count_bytes(shapes, kept, bits, group),
               "seconds_to_round": seconds, "notes": notes, "nll": found.nll.tolist()}
        row |= stored(model, bits, group)
        table["rows"][name] = row
        write_json(arguments.json, table)
        sizes = f"{row['packed_bytes'] / 1e6:7.2f} MB, file {row['weights_file'] / 1e6:7.2f} MB"
        print(f"{name:<28}{found.value:9.3f} +- {found.stderr:.3f}   {mean:+.4f} +- {error:.4f} "
              f"nats   {sizes}, {'exact' if row['exact'] else 'NOT EXACT'}   {seconds:6.1f} s",
              flush=True)


if __name__ == "__main__":
    main()
