"""What the head costs after a prompt, with and without ``neurosparse.models.last_row``.

Run: python benchmarks/bench_last_row.py [--shape 49152x576] [--length 128]

One row is cut out of the hidden states of a prompt as transformers does, in bfloat16 and float32,
and multiplied with the head's weight (SmolLM2's shape by default) by torch: as it is cut, and with
strides of its own. The least of ten calls.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn import functional


def least(x: torch.Tensor, weight: torch.Tensor) -> float:
    """Milliseconds of the fastest call."""
    best = float("inf")
    for _ in range(10):
        begin = time.perf_counter()
        functional.linear(x, weight)
        best = min(best, time.perf_counter() - begin)
    return 1000 * best


def main() -> None:
    """Measure and print both."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="49152x576")
    parser.add_argument("--length", type=int, default=128)
    arguments = parser.parse_args()
    rows, cols = map(int, arguments.shape.split("x"))
    for dtype in (torch.bfloat16, torch.float32):
        weight = torch.randn(rows, cols, dtype=dtype)
        row = torch.randn(1, arguments.length, cols, dtype=dtype)[:, -1:]
        alone = row.clone(memory_format=torch.contiguous_format)
        print(f"{dtype}: as it is cut {least(row, weight):.1f} ms, "
              f"with strides of its own {least(alone, weight):.1f} ms")


if __name__ == "__main__":
    main()
