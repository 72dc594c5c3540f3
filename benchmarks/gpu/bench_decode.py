"""How fast does a 7B model at 70 % write, against itself dense?

    python benchmarks/gpu/bench_decode.py [--small] [--out FILE]

Llama-2-7B's shapes, random weights, bf16; the packed model and a dense one of the same weights
write greedily from a static cache, a step a CUDA graph, in turns. The head is dense on both sides.
What the products allow is counted from their own times: every linear of a step and the head, as
``bench_gemv`` measures them. What else a step does is the same on both sides: as transformers has
it, and with its small operators compiled. The same step without a graph says what Python between
the kernels costs.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from bench_gemv import must_be_kernels, rows_of
from card import Row, Where, error, free, script
from graphs import Graph, Rotating, copies_of, race
from shapes import HEAD, LINEARS, dense_model, linear_bytes, sparsify, tokens
from small_operators import fused
from transformers import StaticCache

from neurosparse.measure.dense_twin import dense_twin

SPARSITY, PROMPT, STEPS = 0.7, 128, 64
GOAL, SHARE = 2.23, 0.9


class Writer:
    """A model that writes, every step the same graph over the same memory."""

    def __init__(self, where: Where, model: Any, prompt: torch.Tensor) -> None:
        length = 8 if where.small else STEPS
        self.model, self.room = model, 2 * length + 8
        self.cache = StaticCache(config=model.config,
                                 max_cache_len=prompt.shape[1] + self.room)
        out = model(input_ids=prompt.to(where.device), past_key_values=self.cache, use_cache=True,
                    logits_to_keep=1)
        self.token = out.logits[:, -1].argmax(-1, keepdim=True)
        self.logits = out.logits[:, -1].clone()

    def step(self) -> None:
        """One token: the cache knows where it is."""
        out = self.model(input_ids=self.token, past_key_values=self.cache, use_cache=True,
                         logits_to_keep=1)
        self.logits.copy_(out.logits[:, -1])
        self.token.copy_(out.logits[:, -1].argmax(-1, keepdim=True))


def allowed(where: Where, model: Any) -> tuple[float, float]:
    """Seconds that the products of a dense and of a packed step take by themselves."""
    shapes: dict[tuple[int, int], int] = LINEARS
    head_shape = HEAD
    if where.small:
        shapes, head_shape = {(64, 64): 4, (128, 64): 2, (64, 128): 1}, (96, 64)
    dense = packed = 0.0
    for shape, count in shapes.items():
        (row,) = rows_of(where, shape, "bf16", SPARSITY, batches=(1,), turns=30)
        assert row.against is not None
        dense += count * row.against / 1e6
        packed += count * row.ours / 1e6
    head = [torch.randn(head_shape, device=where.device, dtype=torch.bfloat16)
            for _ in range(copies_of(where, 2 * head_shape[0] * head_shape[1]))]
    case = Rotating(where, lambda x, i: torch.nn.functional.linear(x, head[i]), len(head),
                    (1, head_shape[1]))
    once = race(where, {"": case}, turns=30)[""]
    blocks = model.config.num_hidden_layers
    return blocks * dense + once, blocks * packed + once


def both(where: Where, models: dict[str, Any], prompt: torch.Tensor
         ) -> tuple[dict[str, float], dict[str, float], float]:
    """Seconds of a step as a graph and without, in turns, and by how much the logits differ."""
    writers = {name: Writer(where, model, prompt) for name, model in models.items()}
    off = error(writers["packed"].logits, writers["dense"].logits.double())
    plain = where.turns({name: writer.step for name, writer in writers.items()}, turns=8, warm=4)
    graphs = {name: Graph(where, writer.step) for name, writer in writers.items()}
    return where.turns(dict(graphs), turns=STEPS, warm=4), plain, off


def measure(where: Where) -> list[Row]:
    """Both models, with graphs and without, and with the small operators compiled."""
    prompt = tokens(where, 1, 16 if where.small else PROMPT)
    with torch.inference_mode():
        model = sparsify(where, dense_model(where), SPARSITY, "bf16")
        dense_products, packed_products = allowed(where, model)
        free(where)
        models = {"packed": model, "dense": dense_twin(model)}
        times, plain, off = both(where, models, prompt)
        with fused(where):
            quick, _, off_quick = both(where, models, prompt)
    must_be_kernels(where)
    most = dense_products / packed_products
    floor = where.floor(moved=linear_bytes(model))

    def row(what: str, found: dict[str, float], off: float) -> Row:
        ratio = found["dense"] / found["packed"]
        return Row(what, 1e3 * found["packed"], "ms", 1e3 * found["dense"], 1e3 * floor,
                   goal=f">= {SHARE:.0%} of the {most:.2f}x that the products allow; goal {GOAL}x",
                   met=ratio >= SHARE * most, error=off,
                   notes={"allowed": most, "goal_reached": ratio >= GOAL,
                          "packed_products_s": packed_products,
                          "dense_products_s": dense_products,
                          "tokens_per_s": 1 / found["packed"]})

    return [row("decode, 70 % zeros, bf16, a graph a step", times, off),
            row("the same, small operators compiled", quick, off_quick),
            Row("the same without graphs or compilation", 1e3 * plain["packed"], "ms",
                1e3 * plain["dense"], 1e3 * floor)]


if __name__ == "__main__":
    sys.exit(script(measure, __doc__))
