"""How near is SparseGPT's solver to the flops that it cannot do without?

    python benchmarks/bench_sparsegpt.py [--json FILE]
    python benchmarks/bench_sparsegpt.py --split          where the solver's time goes

The floor is the sum of what LAPACK and BLAS take, in the same run, for the operations themselves:
one Cholesky factor and one triangular inverse of the Gram matrix (in x in), and the updates of the
columns to the right, out * in^2 flops, as one matrix product of as many flops. `textbook` is the
floor of the published form, which inverts and factors again. Ours adds masks, the columns of a
block, and damping. Best of the turns, which alternate (three of ours in each). ``--split`` gives
CPU time of one thread, which other programs on the machine disturb little.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from scipy.linalg import lapack

from neurosparse.pruning import InputStatistics, find_method, sparsegpt
from neurosparse.pruning import columns as columns_of

SHAPES = [(576, 576), (1536, 576), (576, 1536), (2048, 2048), (4096, 4096)]


def floors(weight: torch.Tensor, gram: torch.Tensor) -> tuple[float, float]:
    """Seconds of the factors and of a product with the flops of the updates: ours, textbook."""
    room = gram.clone().numpy().T  # in columns, as LAPACK has it: it need not copy
    begin = time.perf_counter()
    root, _ = lapack.spotrf(room, lower=0, clean=0, overwrite_a=1)
    lapack.strtri(root, lower=0, overwrite_c=1)
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    lower, _ = torch.linalg.cholesky_ex(gram)
    upper, _ = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
    textbook = time.perf_counter() - begin
    # Updates are out * in^2 flops: half of the product of the weight with a square matrix.
    half = upper[: len(upper) // 2]
    begin = time.perf_counter()
    torch.mm(weight[:, : len(half)], half)
    product = time.perf_counter() - begin
    return ours + product, textbook + product


def problem(rows: int, columns: int) -> tuple[torch.Tensor, InputStatistics]:
    """Weights and statistics of twice as many tokens as columns."""
    generator = torch.Generator().manual_seed(0)
    seen = InputStatistics(columns, gram=True)
    seen.add(torch.randn(2 * columns, columns, generator=generator))
    return torch.randn(rows, columns, generator=generator), seen


def split(turns: int) -> None:
    """CPU time of one thread in the parts of the solver; least of the turns."""
    torch.set_num_threads(1)
    parts = {"factor": (sparsegpt, "inverse_factor"), "masks": (sparsegpt._Masks, "block"),
             "columns": (columns_of, "settle_columns"),
             "products": (torch.Tensor, "addmm_")}
    spent: dict[str, float] = {}

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*words: Any, **options: Any) -> Any:
            begin = time.process_time()
            found = call(*words, **options)
            spent[name] += time.process_time() - begin
            return found
        return run

    patches = [mock.patch.object(place, call, timed(name, getattr(place, call)))
               for name, (place, call) in parts.items()]
    print(f"{'shape':<14}{'all ms':>10}" + "".join(f"{name:>10}" for name in parts) + "      rest")
    for rows, columns in SHAPES:
        weight, seen = problem(rows, columns)
        best: dict[str, float] = {}
        for _ in range(turns):
            spent.update(dict.fromkeys(parts, 0.0))
            for patch in patches:
                patch.start()
            begin = time.process_time()
            find_method("sparsegpt").solve(  # type: ignore[attr-defined]
                weight, seen, weight.numel() // 2)
            total = time.process_time() - begin
            for patch in patches:
                patch.stop()
            if not best or total < best["all"]:
                best = {"all": total, **spent, "rest": total - sum(spent.values())}
        print(f"{rows}x{columns:<9}" + "".join(f"{1e3 * one:>10.1f}" for one in best.values()),
              flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--split", action="store_true")
    arguments = parser.parse_args()
    if arguments.split:
        split(arguments.turns)
        return
    method, table = find_method("sparsegpt"), []
    print(f"{'shape':<14}{'ours ms':>10}{'floor ms':>10}{'textbook ms':>13}{'ratio':>8}   threads "
          f"{torch.get_num_threads()}")
    for rows, columns in SHAPES:
        weight, seen = problem(rows, columns)
        assert seen.gram is not None
        damped = seen.gram + 0.01 * seen.gram.diagonal().mean() * torch.eye(columns)
        ours = least = book = float("inf")
        for _ in range(arguments.turns):
            one, other = floors(weight, damped)
            least, book = min(least, one), min(book, other)
            time.sleep(0.1)  # until the floor's BLAS threads let go of their cores
            for _ in range(3):  # one linear after the other, as a model has them
                begin = time.perf_counter()
                found, _ = method.solve(  # type: ignore[attr-defined]
                    weight, seen, weight.numel() // 2)
                ours = min(ours, time.perf_counter() - begin)
            assert int((found == 0).sum()) == weight.numel() // 2
        table.append({"shape": [rows, columns], "ours_s": ours, "floor_s": least,
                      "textbook_s": book})
        print(f"{rows}x{columns:<9}{1e3 * ours:>10.1f}{1e3 * least:>10.1f}{1e3 * book:>13.1f}"
              f"{ours / least:>8.2f}",
              flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=2)


if __name__ == "__main__":
    main()
