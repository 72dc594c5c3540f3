"""What bounds the products: instructions a mask from cache, and operations a second for many rows.

    python benchmarks/bench_products.py [--levels avx2 avx512 avx512vbmi2] [--json FILE]

*Instructions.* One thread, matrices that stay in the second-level cache: the time between 128 and
384 rows of 1024 columns, over the masks (64 weights each) between them, so that what a call costs
by itself drops out. Nanoseconds a mask, the least of many calls, by level, kind, zeros and batch.

*Many rows.* 512 rows of x in bfloat16 against torch's dense bf16 product of the same shape, in
turns: GF/s of both, counting every weight, zeros too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from bench_matvec import raw, scales_of

from neurosparse import kernels
from neurosparse.sparse import SparseLinear, pack
from neurosparse.tiles import Tiles

FEW, MANY, COLS = 128, 384, 1024
SHAPES = ((4096, 4096), (11008, 4096), (4096, 11008), (1536, 576))


def packed(shape: tuple[int, int], kind: str, sparsity: float) -> Tiles:
    """Random weights under a random mask."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape, dtype=np.float32)
    bitmap = kernels.pack_mask(rng.random(shape) >= sparsity)
    values = kernels.pack_values(raw(weight, kind), bitmap)
    return Tiles.from_rows(values, kind.partition("/")[0], bitmap, kernels.row_offsets(bitmap),
                           scales_of(kind, shape), shape[1])


def least(call: Callable[[], object], calls: int, repeats: int) -> float:
    """Seconds a call, of the fastest of some rows of calls."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - begin) / calls)
    return best


def instructions(kind: str, sparsity: float, batch: int) -> float:
    """Nanoseconds a mask."""
    found = []
    x = torch.randn(batch, COLS).to(torch.bfloat16)
    for rows in (FEW, MANY):
        tiles = packed((rows, COLS), kind, sparsity)
        out = torch.empty(batch, rows, dtype=x.dtype)
        found.append(least(lambda t=tiles, o=out: t.matvec_at(
            x.data_ptr(), True, batch, o.data_ptr()), 20, 60))
    return 1e9 * (found[1] - found[0]) / ((MANY - FEW) * COLS / 64)


def many_rows(shape: tuple[int, int], kind: str, rounds: int = 7
              ) -> tuple[float, float, float] | None:
    """GF/s of panels, of the layer and of torch's dense; None where this level has no panels.

    The layer takes panels too, or expanded rows and torch where the processor has a matrix unit.
    """
    tiles = packed(shape, kind, 0.7)
    weight = torch.randn(shape).to(torch.bfloat16)
    name, _, group = kind.partition("/")
    layer = SparseLinear(pack(weight.float(), mask=torch.rand(shape) >= 0.7, values=name,
                              group_size=int(group) if group else None))
    x = torch.randn(512, shape[1]).to(torch.bfloat16)
    out = torch.empty(512, shape[0], dtype=x.dtype)
    if not tiles.matmul_at(x.data_ptr(), True, 512, out.data_ptr()):
        return None
    seconds: tuple[list[float], ...] = ([], [], [])
    for _ in range(rounds):
        seconds[0].append(least(lambda: tiles.matmul_at(
            x.data_ptr(), True, 512, out.data_ptr()), 1, 3))
        with torch.inference_mode():
            seconds[1].append(least(lambda: layer(x), 1, 3))
        seconds[2].append(least(lambda: torch.nn.functional.linear(x, weight), 1, 3))
    work = 2e-9 * 512 * shape[0] * shape[1]
    panels, through, dense = (work / median(times) for times in seconds)
    return panels, through, dense


def main() -> None:
    """Measure and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.
                                     RawDescriptionHelpFormatter)
    parser.add_argument("--levels", nargs="+", default=list(kernels.levels()[-3:]))
    parser.add_argument("--kinds", nargs="+", default=["bf16", "int8", "int4", "fp32"])
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    threads = kernels.threads()
    record: dict[str, Any] = {"threads": threads, "instructions": [], "many rows": []}
    kernels.set_threads(1)
    print("ns a mask of 64 weights, one thread, from cache")
    for level in options.levels:
        with kernels.using(level):
            for kind in options.kinds:
                row = {f"{sparsity:.0%}, batch {batch}": instructions(kind, sparsity, batch)
                       for batch, sparsity in ((1, 0.5), (1, 0.7), (1, 0.8), (4, 0.7), (8, 0.7))}
                record["instructions"].append({"level": level, "kind": kind, **row})
                print(f"{level:12} {kind:8}", *(f"{name}: {ns:.2f};" for name, ns in row.items()),
                      flush=True)
    kernels.set_threads(threads)
    torch.set_num_threads(threads)
    print(f"\n512 rows of x, {threads} threads, GF/s")
    for shape in SHAPES:
        for kind in (kind for kind in options.kinds if kind != "fp32"):
            if (found := many_rows(shape, kind)) is not None:
                panels, ours, dense = found
                record["many rows"].append({"shape": shape, "kind": kind, "panels": panels,
                                            "ours": ours, "torch dense bf16": dense})
                print(f"{shape[0]} x {shape[1]} {kind} 70 %: panels {panels:.0f}, the layer "
                      f"{ours:.0f}, torch dense bf16 {dense:.0f}, ratio {ours / dense:.2f}",
                      flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as handle:
            json.dump(record, handle, indent=1)


if __name__ == "__main__":
    main()
