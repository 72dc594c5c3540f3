"""Forward and backward through the seven linears of a SmolLM2 block: what masked LoRA adds to them.

Run: python benchmarks/bench_masked_block.py [--sparsity 0.7] [--rounds 5] [--json FILE]

Random weights and masks of SmolLM2-135M's shapes, 1024 tokens, rank 8, float32, one thread. The
time is the processor's and not the clock's, the forms take turns, the least counts: other work on
the machine disturbs it little. Ours at every instruction level of the kernels (torch's products
take the best there is in all of them), by torch's operators, the form that builds B A, PEFT's
unmasked LoRA, and the three products with a dense matrix that any masked form by dense products
makes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from neurosparse import kernels
from neurosparse.adaptation.masked_product import DenseRows, masked_linear
from neurosparse.adaptation.masked_tiles import reference
from neurosparse.sparse.bits import pack_bits

SHAPES = ((576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536))
TOKENS, RANK, SCALE = 1024, 8, 2.0


class Layer(NamedTuple):
    """Tensors of one linear: what learns, what does not, and a gradient of the output."""

    x: Tensor
    a: Tensor
    b: Tensor
    weight: Tensor
    bits: Tensor
    up: Tensor


def layer(rows: int, columns: int, sparsity: float, seed: int) -> Layer:
    """Standard normal everywhere."""
    g = torch.Generator().manual_seed(seed)
    mask = torch.rand(rows, columns, generator=g) >= sparsity
    learns = [torch.randn(*shape, generator=g).requires_grad_()
              for shape in ((TOKENS, columns), (RANK, columns), (rows, RANK))]
    return Layer(*learns, torch.randn(rows, columns, generator=g) * mask, pack_bits(mask),
                 torch.randn(TOKENS, rows, generator=g))


def ours(one: Layer) -> Tensor:
    """Masked LoRA."""
    return masked_linear(one.x, DenseRows(one.weight, one.bits), one.a, one.b, SCALE)


def dense(one: Layer) -> Tensor:
    """The official form."""
    update = (one.b @ one.a) * (one.weight != 0)
    return linear(one.x, one.weight) + SCALE * linear(one.x, update)


def plain(one: Layer) -> Tensor:
    """PEFT's unmasked LoRA."""
    return linear(one.x, one.weight) + SCALE * linear(linear(one.x, one.a), one.b)


def learn(form: Callable[[Layer], Tensor], one: Layer) -> None:
    """Forward and backward."""
    torch.autograd.grad(form(one), (one.x, one.a, one.b), one.up)


@torch.no_grad()
def products(_: Any, one: Layer) -> None:
    """``x W^T``, ``g W`` and ``g^T x`` for a dense W."""
    _ = one.x @ one.weight.T, one.up @ one.weight, one.up.T @ one.x


def forms() -> dict[str, tuple[Any, Any, Callable[[], Any]]]:
    """By name: what makes the output, what runs it, and the context in which."""
    found: dict[str, tuple[Any, Any, Callable[[], Any]]] = {
        f"ours, {name}": (ours, learn, lambda name=name: kernels.using(name))
        for name in kernels.levels() if name != "twin"}
    nothing = contextlib.nullcontext
    return {**found, "ours by torch's operators": (ours, learn, reference),
            "dense product": (dense, learn, nothing),
            "PEFT LoRA, unmasked": (plain, learn, nothing),
            "three products alone": (None, products, nothing)}


def main() -> None:
    """Take turns, print one line a form."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparsity", type=float, default=0.7)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kernels.set_threads(1)
    block = [layer(*shape, arguments.sparsity, at) for at, shape in enumerate(SHAPES)]
    times: dict[str, list[float]] = {name: [] for name in forms()}
    for _ in range(arguments.rounds):
        for name, (form, run, context) in forms().items():
            with context():
                begin = time.process_time()
                for one in block:
                    run(form, one)
                times[name].append(time.process_time() - begin)
    least = {name: min(spent) for name, spent in times.items()}
    for name, spent in least.items():
        print(f"{name:<26} {spent * 1e3:7.1f} ms of the processor, "
              f"{spent / least['dense product']:4.2f} of the dense product")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(
            {"sparsity": arguments.sparsity, "cpu_seconds": least}, indent=1))


if __name__ == "__main__":
    main()
