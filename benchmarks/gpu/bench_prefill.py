"""How fast does a 7B model at 70 % read 2048 tokens, against itself dense?

    python benchmarks/gpu/bench_prefill.py [--small] [--out FILE]

Packed rows are expanded a tile at a time and multiplied by cuBLAS while they are in the L2, so what
can be hoped for is the dense model's own time. bf16 and int8 values.
"""

from __future__ import annotations

import sys

import torch
from bench_gemv import must_be_triton
from card import Row, Where, error, free, script
from shapes import dense_model, sparsify, tokens

from neurosparse.measure.dense_twin import dense_twin
from neurosparse.models import find_targets

SPARSITY, LENGTH, SLOWER = 0.7, 2048, 1.1


def rows_of(where: Where, values: str) -> Row:
    """One kind of values."""
    ids = tokens(where, 1, 48 if where.small else LENGTH).to(where.device)
    model = sparsify(where, dense_model(where), SPARSITY, values)
    twin = dense_twin(model)
    models = {"packed": model, "dense": twin}

    def read(name: str) -> torch.Tensor:
        logits: torch.Tensor = models[name](input_ids=ids, use_cache=False, logits_to_keep=1).logits
        return logits

    off = error(read("packed"), read("dense").double())
    times = where.turns({name: lambda name=name: read(name) for name in models}, turns=15)
    linears = sum(target.size for target in find_targets(twin))
    shape = twin.config
    attention = (2 * 2 * ids.shape[1] ** 2 * shape.hidden_size * shape.num_hidden_layers) / 2
    floor = where.floor(operations=2 * linears * ids.shape[1] + attention)
    return Row(f"prefill, {ids.shape[1]} tokens, 70 % zeros, {values}", 1e3 * times["packed"], "ms",
               1e3 * times["dense"], 1e3 * floor, goal="at most 10 % slower than dense",
               met=times["packed"] <= SLOWER * times["dense"], error=off,
               notes={"tokens_per_s": ids.shape[1] / times["packed"]})


def measure(where: Where) -> list[Row]:
    """Both kinds of values."""
    found = []
    with torch.inference_mode():
        for values in ("bf16", "int8"):
            found.append(rows_of(where, values))
            free(where)
    must_be_triton(where)
    return found


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
