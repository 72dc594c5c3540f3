"""torch's dense linear on the stack."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import torch

from peers.stack import through
from peers.talk import Case, copies_note, options, private_output, repeats, serve
from peers.weights import PARTS, Shape, Weights


def stack_case(weights: Weights, dtype: torch.dtype, asked: dict[str, Any]) -> Case:
    """All blocks, as many times as make them stream from memory."""
    nbytes = asked["blocks"] * weights.shape.size * dtype.itemsize
    copies = repeats(nbytes, asked)
    stacks = [[{part: torch.from_numpy(weights.floats(part, block)).to(dtype) for part in PARTS}
               for block in range(asked["blocks"])] for _ in range(copies)]
    turn = cycle(stacks)

    def times(block: dict[str, torch.Tensor], part: str, vector: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(vector, block[part])

    call = through(weights.shape, dtype, turn, times)
    return Case(call, np.array(call().float()), nbytes, copies_note(copies))


def main() -> None:
    """Serve bfloat16 and float32."""
    out, asked = private_output(), options()
    torch.set_num_threads(asked["threads"])
    torch.set_grad_enabled(False)
    weights = Weights(asked["folder"], Shape(asked["width"], asked["inner"]))
    serve(f"torch {torch.__version__}",
          {name: (lambda dtype=dtype: stack_case(weights, dtype, asked))
           for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32))}, out)


if __name__ == "__main__":
    main()
