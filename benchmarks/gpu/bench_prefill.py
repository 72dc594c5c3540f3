"""How fast does a 7B model at 70 % read 2048 and 4096 tokens, against itself dense?

    python benchmarks/gpu/bench_prefill.py [--small] [--out FILE]

Packed rows are expanded a tile at a time and multiplied by cuBLAS while they are in the L2, so what
can be hoped for is the dense model's own time and what expanding takes. bf16 and int8 values.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from bench_gemv import must_be_kernels
from card import Row, Where, error, free, script
from shapes import dense_model, sparsify, tokens

from neurosparse.measure.dense_twin import dense_twin
from neurosparse.models import find_targets

SPARSITY, LENGTHS, SLOWER = 0.7, (2048, 4096), 1.1


def rows_of(where: Where, values: str) -> list[Row]:
    """One kind of values, every length."""
    model = sparsify(where, dense_model(where), SPARSITY, values)
    models = {"packed": model, "dense": dense_twin(model)}
    return [row_of(where, models, values, 48 if where.small else length) for length in LENGTHS]


def row_of(where: Where, models: dict[str, Any], values: str, length: int) -> Row:
    """One length."""
    ids = tokens(where, 1, length).to(where.device)

    def read(name: str) -> torch.Tensor:
        logits: torch.Tensor = models[name](input_ids=ids, use_cache=False, logits_to_keep=1).logits
        return logits

    off = error(read("packed"), read("dense").double())
    times = where.turns({name: lambda name=name: read(name) for name in models}, turns=15)
    linears = sum(target.size for target in find_targets(models["dense"]))
    shape = models["dense"].config
    attention = (2 * 2 * length**2 * shape.hidden_size * shape.num_hidden_layers) / 2
    floor = where.floor(operations=2 * linears * length + attention)
    return Row(f"prefill, {length} tokens, 70 % zeros, {values}", 1e3 * times["packed"], "ms",
               1e3 * times["dense"], 1e3 * floor, goal="at most 10 % slower than dense",
               met=times["packed"] <= SLOWER * times["dense"], error=off,
               notes={"tokens_per_s": length / times["packed"]})


def measure(where: Where) -> list[Row]:
    """Both kinds of values."""
    found: list[Row] = []
    with torch.inference_mode():
        for values in ("bf16", "int8"):
            found += rows_of(where, values)
            free(where)
    must_be_kernels(where)
    return found


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
