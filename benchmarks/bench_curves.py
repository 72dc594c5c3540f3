"""How long do local error curves take: the compiled pass against one dense product a level?

    python benchmarks/bench_curves.py [--json FILE]

Shapes of SmolLM2's linears and one of a 7B model's, nine levels (0.1 ... 0.9). The products are
torch's, the way curves were made before: D G for every level with D the weights that are gone.
Best of the turns, which alternate; scores are sorted beforehand for both.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from neurosparse.error_curves import error_curves
from neurosparse.pruning import row_counts, row_order

SHAPES = [(576, 576), (1536, 576), (576, 1536), (2048, 2048)]
LEVELS = tuple(round(0.1 * at, 1) for at in range(1, 10))


def products(weight: torch.Tensor, gram: torch.Tensor, order: torch.Tensor) -> list[float]:
    """One product a level."""
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1]).expand_as(order))
    found = []
    for level in LEVELS:
        gone = rank < row_counts(*weight.shape, round(level * weight.numel()))[:, None]
        part = weight * gone
        found.append(float(((part @ gram) * part).sum(dtype=torch.float64)))
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    table = []
    print(f"{'shape':<14}{'ours ms':>10}{'products ms':>13}{'ratio':>8}   threads "
          f"{torch.get_num_threads()}")
    for rows, columns in SHAPES:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(2 * columns, columns, generator=generator)
        weight, gram = torch.randn(rows, columns, generator=generator), inputs.T @ inputs
        order = row_order(weight.abs())
        counts = torch.stack([row_counts(rows, columns, round(level * weight.numel()))
                              for level in LEVELS], dim=1).numpy()
        places = order.numpy().astype(np.int32)
        ours = theirs = float("inf")
        for _ in range(arguments.turns):
            begin = time.perf_counter()
            found = error_curves(weight.numpy(), gram.numpy(), places, counts)
            middle = time.perf_counter()
            expected = products(weight, gram, order)
            ours = min(ours, middle - begin)
            theirs = min(theirs, time.perf_counter() - middle)
            assert np.allclose(found, expected, rtol=1e-4)
        row = {"shape": [rows, columns], "ours_ms": 1e3 * ours, "products_ms": 1e3 * theirs}
        table.append(row)
        print(f"{rows}x{columns:<9}{row['ours_ms']:>10.1f}{row['products_ms']:>13.1f}"
              f"{theirs / ours:>8.2f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=2)


if __name__ == "__main__":
    main()
