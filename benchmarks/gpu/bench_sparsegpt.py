"""How long does SparseGPT take on a 7B model, and how far is it from its operations?

    python benchmarks/gpu/bench_sparsegpt.py [--small] [--out FILE]

Llama-2-7B's shapes in bf16, 128 windows of 2048 tokens. Blocks cost the same, so some of them are
pruned and the rest is counted: the row says both. The floor adds what each part takes at its own
rate: two forward passes and the Gram matrices on 16-bit tensor cores; the factors and the updates
in float32.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from bench_wanda import BATCH, LENGTH, SPARSITY, WINDOWS, forward_operations
from card import Row, Where, script
from shapes import dense_model, tokens

from neurosparse.budgets import allocate
from neurosparse.measure import sizes_only
from neurosparse.models import find_targets
from neurosparse.pruning import prune

BLOCKS, ALL = 3, 32


def floor(where: Where, model: Any, ids: torch.Tensor) -> float:
    """Seconds of the operations of the blocks that the model has."""
    count, halves, floats = ids.numel(), 2 * forward_operations(model, ids), 0.0
    seen = set()
    for target in find_targets(model):
        out, width = target.shape
        shared = (target.block, "qkv" if target.role in ("q_proj", "k_proj", "v_proj") else
                  "mlp" if target.role in ("gate_proj", "up_proj") else target.role)
        if shared not in seen:  # linears with one input share its Gram matrix
            seen.add(shared)
            halves += 2.0 * count * width**2
        floats += width**3  # Cholesky and the triangular inverse: a third and two thirds
        floats += out * width**2  # every column updates those that follow: half of 2 out in^2
    return where.floor(operations=halves) + where.floor(operations=floats, dtype=torch.float32)


def measure(where: Where) -> list[Row]:
    """Some blocks, timed one by one."""
    blocks = 2 if where.small else BLOCKS
    model = dense_model(where, num_hidden_layers=blocks)
    ids = tokens(where, 6 if where.small else WINDOWS, 16 if where.small else LENGTH)
    budget = allocate(sizes_only(model), SPARSITY, rule="uniform")
    marks: list[float] = []

    def see(_label: str, _done: int, _total: int) -> None:
        where.settle()
        marks.append(time.perf_counter())

    seconds, peak, report = where.once(lambda: prune(
        model, budget, ids, method="sparsegpt", batch_size=BATCH, store="device", progress=see))
    # The first block pays for what every library loads once.
    each = (marks[-1] - marks[0]) / (len(marks) - 1)
    least = floor(where, model, ids) / blocks
    return [
        Row(f"SparseGPT, {len(ids)} x {ids.shape[1]} tokens, one block of {ALL}", each, "s",
            floor=least, goal="time and memory, against the operations' floor",
            notes={"peak_gib": peak, "blocks": blocks, "blocks_s": seconds,
                   "dropped": report.sparsity, "notes": report.notes}),
        Row(f"the same, all {ALL} blocks (counted up)", ALL * each, "s", floor=ALL * least,
            notes={"peak_gib": peak}),
    ]


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
