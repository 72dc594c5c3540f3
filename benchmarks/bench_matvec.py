"""How fast is our sparse matrix-vector product against the dense one?

    python benchmarks/bench_matvec.py [--quick] [--json FILE]

y = W x for one x, W unstructured sparse with bitmap storage, against torch's dense products of the
same shape on the same machine in the same run. Every call reads another copy of its matrix; the
copies together exceed the L3 cache several times, so weights stream from memory as they do when a
model generates text. Ours and the dense calls take turns, since the machine's memory speed may
change by the second. `us` is the median over turns, `best` the fastest four calls in a row, which
is what remains comparable on a machine that others use too: the ratios are those of the best.
GB/s counts the bytes the matrix takes as stored, at the best; `read` is a plain sum over memory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import cycle
from statistics import median

import numpy as np
import torch

from neurosparse import kernels

SHAPES = [(1536, 576), (576, 1536), (4096, 4096)]
SPARSITIES = [0.5, 0.6, 0.7, 0.8]
COPIES_BYTES = 160 << 20  # five times an L3 of 32 MB


class Case:
    """One way to multiply, over enough copies of its matrix that none stays in cache."""

    def __init__(self, name: str, nbytes: int, call: Callable[[int], object]) -> None:
        self.name = name
        self.nbytes = nbytes
        self.copies = max(2, -(-COPIES_BYTES // nbytes))
        self.call = call
        self.order = cycle(range(self.copies))
        self.seconds: list[float] = []
        self.best = float("inf")

    def turn(self, seconds: float) -> None:
        """Call for about ``seconds``; note the time of one call."""
        calls, start = 0, time.perf_counter()
        last = start
        while last - start < seconds:
            for _ in range(4):
                self.call(next(self.order))
            now = time.perf_counter()
            self.best = min(self.best, (now - last) / 4)
            calls, last = calls + 4, now
        self.seconds.append((last - start) / calls)

    @property
    def microseconds(self) -> float:
        return median(self.seconds) * 1e6

    @property
    def gigabytes(self) -> float:
        return self.nbytes / self.best / 1e9


def dense_case(shape: tuple[int, int], dtype: torch.dtype, rng: np.random.Generator) -> Case:
    """torch.nn.functional.linear over copies of a dense matrix."""
    weight = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(dtype)
    x = torch.from_numpy(rng.standard_normal((1, shape[1]), dtype=np.float32)).to(dtype)
    case = Case(f"dense {str(dtype)[6:]}", weight.nbytes, lambda i: None)
    weights = [weight.clone() for _ in range(case.copies)]
    case.call = lambda i: torch.nn.functional.linear(x, weights[i])
    return case


def sparse_case(
    shape: tuple[int, int], kind: str, sparsity: float, rng: np.random.Generator
) -> Case:
    """kernels.matvec over copies of a packed matrix."""
    weight = rng.standard_normal(shape, dtype=np.float32)
    bitmap = kernels.pack_mask(rng.random(shape) >= sparsity)
    offsets = kernels.row_offsets(bitmap)
    raw = {
        "fp32": weight,
        "bf16": (weight.view(np.uint32) >> np.uint32(16)).astype(np.uint16),
        "fp16": weight.astype(np.float16).view(np.uint16),
        "int8": np.clip(np.round(weight * 32), -127, 127).astype(np.int8),
    }[kind]
    values = kernels.pack_values(raw, bitmap)
    scales = np.full(shape[0], 1 / 32, np.float32) if kind == "int8" else None
    x = rng.standard_normal((1, shape[1]), dtype=np.float32)
    out = np.empty((1, shape[0]), np.float32)
    case = Case(f"{kind} {sparsity:.0%}", values.nbytes + bitmap.nbytes, lambda i: None)
    copies = [(values.copy(), bitmap.copy()) for _ in range(case.copies)]

    def call(i: int) -> None:
        kernels.matvec(copies[i][0], kind, copies[i][1], offsets, scales, x, out=out)

    case.call = call
    return case


def measure(shape: tuple[int, int], kinds: list[str], turns: int, seconds: float) -> list[Case]:
    """Time every case of one shape in turns."""
    rng = np.random.default_rng(0)
    block = torch.ones(32 << 20)
    cases = [Case("read", block.nbytes, lambda i: block.sum())]
    cases += [dense_case(shape, dtype, rng) for dtype in (torch.float32, torch.bfloat16)]
    cases += [sparse_case(shape, kind, s, rng) for kind in kinds for s in SPARSITIES]
    for turn in range(turns + 1):
        for case in cases:
            case.turn(seconds)
            if turn == 0:
                case.seconds.clear()  # warm-up
                case.best = float("inf")
    return cases


def main() -> None:
    """Measure all shapes, print a table each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few turns, bf16 only")
    parser.add_argument("--kinds", default="bf16,int8,fp32,fp16", help="kinds of values")
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    turns, seconds = (3, 0.02) if options.quick else (9, 0.05)
    kinds = ["bf16"] if options.quick else options.kinds.split(",")
    torch.set_num_threads(kernels.threads())
    print(f"level {kernels.level()}, {kernels.threads()} threads, torch {torch.__version__}")
    record: dict[str, object] = {"level": kernels.level(), "threads": kernels.threads()}
    with torch.inference_mode():
        for shape in SHAPES:
            cases = measure(shape, kinds, turns, seconds)
            _, dense32, dense16 = cases[:3]
            print(f"\n{shape[0]} x {shape[1]}")
            print(f"{'case':16}{'us':>10}{'best':>10}{'GB/s':>8}{'x fp32':>9}{'x bf16':>9}")
            for case in cases:
                ratios = [dense.best / case.best for dense in (dense32, dense16)]
                text = "" if case is cases[0] else f"{ratios[0]:9.2f}{ratios[1]:9.2f}"
                best = case.best * 1e6
                print(f"{case.name:16}{case.microseconds:10.1f}{best:10.1f}{case.gigabytes:8.1f}{text}")
            record[f"{shape[0]}x{shape[1]}"] = {
                case.name: {
                    "microseconds": case.microseconds,
                    "best_microseconds": case.best * 1e6,
                    "gigabytes_per_s": case.gigabytes,
                }
                for case in cases
            }
    if options.json:
        with open(options.json, "w", encoding="utf-8") as handle:
            json.dump(record, handle, indent=2)


if __name__ == "__main__":
    main()
