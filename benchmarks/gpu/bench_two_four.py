"""Where does 2:4 pay? Torch's semi-structured tensors against cuBLAS, by rows of x.

    python benchmarks/gpu/bench_two_four.py [--small] [--out FILE]

Linears of a 7B model pruned 2:4, bf16, rotated past the L2, from one row of x (bound by bytes: 9/16
of them are left) to 8192 (bound by arithmetic: the tensor cores skip half). Both sides as CUDA
graphs, and as they are called: torch's product plans itself anew at every call, which costs half a
millisecond of the CPU's time.
"""

from __future__ import annotations

import sys

import torch
from card import Row, Where, error, script
from graphs import Graph, copies_of
from shapes import LINEARS
from torch import nn

from neurosparse.pruning import lowest_by_group
from neurosparse.sparse import to_semi_structured

ROWS = (1, 8, 64, 512, 2048, 8192)


def linear(where: Where, shape: tuple[int, int]) -> nn.Linear:
    """Random, 2:4."""
    with torch.device(where.device):
        made = nn.Linear(shape[1], shape[0], bias=False, dtype=torch.bfloat16)
    weight = torch.randn(shape, device=where.device)
    keep = lowest_by_group(weight.abs(), 4, weight.numel() // 2)
    made.weight = nn.Parameter((weight * keep).to(torch.bfloat16), requires_grad=False)
    return made


def rows_of(where: Where, shape: tuple[int, int]) -> list[Row]:
    """One shape, all numbers of rows."""
    count = copies_of(where, shape[0] * shape[1] * 9 // 8)
    dense = [linear(where, shape) for _ in range(count)]
    sparse = [nn.Linear(1, 1, bias=False) for _ in dense]
    for one, other in zip(sparse, dense, strict=True):
        one.weight = nn.Parameter(other.weight.detach().clone(), requires_grad=False)
        if where.on_card:
            to_semi_structured(one)
    exact = dense[0].weight.double()
    found = []
    for rows in (1, 8) if where.small else ROWS:
        x = torch.randn(rows, shape[1], device=where.device, dtype=torch.bfloat16)
        what = f"2:4, {shape[0]} x {shape[1]}, {rows} rows of x"
        try:
            off = error(sparse[0](x), x.double() @ exact.T)
        except RuntimeError as problem:  # a shape that torch's library does not take: say so
            found.append(Row(what, float("nan"), "us", notes={"failed": str(problem)[:200]}))
            continue

        def turn(layers: list[nn.Linear], x: torch.Tensor = x) -> None:
            for layer in layers:
                layer(x)

        calls = {"2:4": lambda turn=turn: turn(sparse), "dense": lambda turn=turn: turn(dense)}
        plain = where.turns(calls, turns=5)
        times = where.turns({name: Graph(where, call) for name, call in calls.items()}, turns=20)
        floor = where.floor(moved=shape[0] * shape[1] * 9 / 8 + 2 * rows * sum(shape),
                            operations=shape[0] * shape[1] * rows)
        found.append(Row(what, 1e6 * times["2:4"] / count, "us", 1e6 * times["dense"] / count,
                         1e6 * floor, error=off,
                         notes={"pays": times["2:4"] < times["dense"],
                                "called_us": 1e6 * plain["2:4"] / count,
                                "dense_called_us": 1e6 * plain["dense"] / count}))
    return found


def measure(where: Where) -> list[Row]:
    """All shapes."""
    shapes = [(64, 128)] if where.small else list(LINEARS)
    with torch.inference_mode():
        return [row for shape in shapes for row in rows_of(where, shape)]


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
