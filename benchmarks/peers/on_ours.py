"""Our products on the stack: packed and dense, called by address as the decoder does."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import torch

import neurosparse
from neurosparse import kernels
from peers.stack import through
from peers.talk import Case, copies_note, options, private_output, repeats, serve
from peers.tiles import block_tiles
from peers.weights import Shape, Weights


def stack_case(weights: Weights, kind: str, packed: bool, asked: dict[str, Any]) -> Case:
    """All blocks, as many times as make them stream from memory."""
    halves = kind != "fp32"
    dtype = torch.bfloat16 if halves else torch.float32
    first = block_tiles(weights, kind, packed, 0)
    nbytes = asked["blocks"] * sum(tiles.nbytes for tiles in first.values())
    copies = repeats(nbytes, asked)
    stacks = [[block_tiles(weights, kind, packed, block, first)
               for block in range(asked["blocks"])] for _ in range(copies)]
    turn = cycle(stacks)
    outs = {part: torch.empty(1, tiles.shape[0], dtype=dtype) for part, tiles in first.items()}

    def times(block: Any, part: str, vector: torch.Tensor) -> torch.Tensor:
        out = outs[part]
        if not block[part].matvec_at(vector.data_ptr(), halves, 1, out.data_ptr()):
            raise RuntimeError("no compiled kernel here")
        return out

    call = through(weights.shape, dtype, turn, times)
    return Case(call, np.array(call().float()), nbytes, copies_note(copies))


def main() -> None:
    """Serve packed and dense values of three kinds."""
    out, asked = private_output(), options()
    torch.set_num_threads(asked["threads"])
    torch.set_grad_enabled(False)
    weights = Weights(asked["folder"], Shape(asked["width"], asked["inner"]))
    makers = {f"{'sparse' if packed else 'dense'} {kind}":
              (lambda kind=kind, packed=packed: stack_case(weights, kind, packed, asked))
              for packed in (True, False) for kind in ("bf16", "int8", "fp32")}
    serve(f"neurosparse {neurosparse.__version__}, {kernels.level()}, {kernels.threads()} threads",
          makers, out)


if __name__ == "__main__":
    main()
