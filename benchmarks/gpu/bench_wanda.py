"""How long do Wanda and the profile of the rule propagation take on a 7B model?

    python benchmarks/gpu/bench_wanda.py [--small] [--out FILE]

Llama-2-7B's shapes in bf16, random weights, 128 windows of 2048 tokens; hidden states stay on the
card. Both stand in one script because the goal of the second is a multiple of the first. The floor
of Wanda is two forward passes, one that looks and one that goes on; that of the profile is what
``measure.profile_cost`` says.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from card import Row, Where, free, script
from shapes import dense_model, tokens

from neurosparse.budgets import allocate
from neurosparse.measure import PropagationCollector, profile, profile_cost, sizes_only
from neurosparse.models import find_targets, get_weight
from neurosparse.pruning import prune

SPARSITY, WINDOWS, LENGTH, BATCH = 0.7, 128, 2048, 8
SECONDS, GIBS, TIMES = 60.0, 24.0, 5.0


def forward_operations(model: Any, ids: torch.Tensor) -> float:
    """Of one pass through the blocks: products with the weights, and causal attention."""
    weights = sum(target.size for target in find_targets(model))
    shape = model.config
    attention = 2 * ids.shape[1] * shape.hidden_size * shape.num_hidden_layers
    return float(ids.numel() * (2 * weights + attention))


def wanda(where: Where, model: Any, ids: torch.Tensor) -> Row:
    """Prune; the model is sparse afterwards."""
    budget = allocate(sizes_only(model), SPARSITY, rule="uniform")
    seconds, peak, report = where.once(
        lambda: prune(model, budget, ids, batch_size=BATCH, store="device"))
    targets = find_targets(model)
    zeros = sum(int((get_weight(model, one) == 0).sum()) for one in targets)
    share = zeros / sum(one.size for one in targets)
    return Row(f"Wanda, {len(ids)} x {ids.shape[1]} tokens", seconds, "s",
               floor=where.floor(operations=2 * forward_operations(model, ids)),
               goal=f"<= {SECONDS:g} s, <= {GIBS:g} GiB (took {peak:.1f})",
               met=seconds <= SECONDS and peak <= GIBS,
               notes={"peak_gib": peak, "zeros": share, "dropped": report.sparsity})


def profiled(where: Where, model: Any, ids: torch.Tensor) -> tuple[float, float, Any, float]:
    """Seconds, GiB, the profile, and the forward passes that it counts for itself.

    The collector, which holds a byte a weight on the card, goes with this call.
    """
    evidence = [PropagationCollector(SPARSITY)]
    passes = profile_cost(model, evidence, windows=len(ids)).passes
    return *where.once(lambda: profile(model, ids, evidence=evidence, batch_size=BATCH,
                                       store="device")), passes


def measure(where: Where) -> list[Row]:
    """The profile first: it leaves the model as it was."""
    model = dense_model(where)
    ids = tokens(where, 6 if where.small else WINDOWS, 16 if where.small else LENGTH)
    with torch.no_grad():
        model(input_ids=ids[:1].to(where.device))  # cuBLAS and the allocator, once
    seconds, peak, measured, passes = profiled(where, model, ids)
    free(where)
    pruned = wanda(where, model, ids)
    budget = allocate(measured, SPARSITY, rule="propagation")
    times = seconds / pruned.ours
    row = Row(f"profile for propagation, {len(ids)} x {ids.shape[1]} tokens", seconds, "s",
              floor=where.floor(operations=passes * forward_operations(model, ids)),
              goal=f"<= {TIMES:g}x Wanda (is {times:.2f}x)", met=times <= TIMES,
              notes={"peak_gib": peak, "passes": passes, "times_wanda": times,
                     "rates": [float(min(budget.rates)), float(max(budget.rates))]})
    return [pruned, row]


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
