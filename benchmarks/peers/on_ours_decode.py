"""Our core loop on the model of ``llama``: one compiled call a token."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np

import neurosparse
from neurosparse import kernels
from neurosparse.compiled import compiled_decoder
from neurosparse.tiles import Tiles
from peers.llama import CHECKED, EPSILON, POSITIONS, VOCABULARY, ends, rotations, tokens
from peers.talk import Case, copies_note, options, private_output, repeats, serve
from peers.tiles import block_tiles, raw
from peers.weights import STEP, Shape, Weights


class Model:
    """A compiled decoder with weights and a cache of its own."""

    def __init__(self, weights: Weights, first: dict[str, Tiles], blocks: int) -> None:
        shape = weights.shape
        self.embedding, head = ends(shape)
        ones = np.ones(shape.width, np.float32)
        cosine, sine = rotations(POSITIONS)
        cache = (shape.heads, POSITIONS, STEP)
        self.layers: list[dict[str, Any]] = [
            {**block_tiles(weights, "", True, block, first), "before_attention": ones,
             "before_feed": ones, "cosine": cosine, "sine": sine, "window": 0,
             "keys": np.zeros(cache, np.uint16), "values": np.zeros(cache, np.uint16)}
            for block in range(blocks)]
        sizes = {"width": shape.width, "head_width": STEP, "positions": POSITIONS, "eps": EPSILON,
                 "scale": STEP**-0.5, "cap": 0.0, "activation": 0, "halves": True}
        self.head = Tiles.from_dense(raw(head, "bf16"), "bf16")
        self.compiled = compiled_decoder(sizes, self.layers, self.head, ones)
        self.logits = np.empty(VOCABULARY, np.float32)

    def step(self, position: int, token: int) -> None:
        """One token."""
        x = self.embedding[token].copy()
        kernels.raise_on(self.compiled.step(position, x, self.logits), "decode")


def decode_case(weights: Weights, kind: str, packed: bool, asked: dict[str, Any]) -> Case:
    """The step with a full cache."""
    first = block_tiles(weights, kind, packed, 0)
    nbytes = asked["blocks"] * sum(tiles.nbytes for tiles in first.values())
    copies = repeats(nbytes, asked)
    models = [Model(weights, first, asked["blocks"]) for _ in range(copies)]
    text = tokens(POSITIONS)
    for position, token in enumerate(text[:CHECKED]):
        models[0].step(position, token)
    found = models[0].logits.copy()
    for model in models:
        for position, token in enumerate(text):
            model.step(position, token)
    turn = cycle(models)
    return Case(lambda: next(turn).step(POSITIONS - 1, text[-1]), found,
                nbytes + models[0].head.nbytes, copies_note(copies))


def main() -> None:
    """Serve packed and dense values of two kinds."""
    out, asked = private_output(), options()
    weights = Weights(asked["folder"], Shape(asked["width"], asked["inner"]))
    makers = {f"{'sparse' if packed else 'dense'} {kind}":
              (lambda kind=kind, packed=packed: decode_case(weights, kind, packed, asked))
              for packed in (True, False) for kind in ("bf16", "int8")}
    serve(f"neurosparse {neurosparse.__version__}, {kernels.level()}, {kernels.threads()} threads",
          makers, out)


if __name__ == "__main__":
    main()
