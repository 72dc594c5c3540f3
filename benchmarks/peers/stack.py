"""What is computed: the matrices of Llama blocks with the least between them.

A token's vector goes through every matrix of every block as in the model,

    a = q * sigmoid(k) + v,    x += o a,    m = sigmoid(gate x) * (up x),    x += down m,

without attention over other tokens, norms and rotations: peers differ in what they know of models,
and not one of them can leave a product out of this. A plain sigmoid in place of the model's SiLU
keeps ``m`` linear in the size of ``x``, which without norms would else grow beyond 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers.weights import Shape, Weights

Floats = NDArray[np.float32]


def start(shape: Shape) -> Floats:
    """The vector that goes in, float32 array of shape (1, width), exact in bfloat16."""
    drawn = np.random.default_rng(5).standard_normal((1, shape.width), dtype=np.float32)
    return (drawn.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def reference(weights: Weights, blocks: int) -> tuple[list[Floats], dict[str, float]]:
    """In float32 by NumPy.

    Returns
    -------
    outputs : list of arrays of shape (1, width)
        After each block.
    largest : dict
        ``"q0"``: the largest input of matrix q of block 0, without its sign. A quantised peer gets
        its scales from it, which is the best that calibration can do.
    """
    def times(part: str, block: int, x: Floats) -> Floats:
        largest[f"{part}{block}"] = float(np.abs(x).max())
        return x @ weights.floats(part, block).T

    largest: dict[str, float] = {}
    outputs, x = [], start(weights.shape)
    for block in range(blocks):
        a = times("q", block, x) * sigmoid(times("k", block, x)) + times("v", block, x)
        x = x + times("o", block, a)
        gate = sigmoid(times("gate", block, x))
        x = x + times("down", block, gate * times("up", block, x))
        outputs.append(x)
    return outputs, largest


def sigmoid(x: Floats) -> Floats:
    """``1 / (1 + exp(-x))``."""
    result: Floats = np.float32(1) / (np.float32(1) + np.exp(-x))
    return result


def through(shape: Shape, dtype: Any, turn: Iterator[Any], times: Any) -> Callable[[], Any]:
    """A call that takes a torch vector through the blocks that are next in turn.

    Parameters
    ----------
    times
        ``times(block, part, x)`` multiplies.
    """
    import torch

    begin = torch.from_numpy(start(shape)).to(dtype)

    def call() -> Any:
        x = begin
        for block in next(turn):
            a = (times(block, "q", x) * torch.sigmoid(times(block, "k", x))
                 + times(block, "v", x))
            x = x + times(block, "o", a)
            gate = torch.sigmoid(times(block, "gate", x))
            x = x + times(block, "down", gate * times(block, "up", x))
        return x

    return call
