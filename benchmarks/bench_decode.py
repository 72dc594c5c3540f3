"""Tokens a second of a Llama-2-7B-shaped model, packed against dense, in the compiled decoder.

    python benchmarks/bench_decode.py [--quick] [--blocks 8] [--sparsities 0.7]
        [--kinds bf16 int8 int4 int4/128 fp32] [--rounds 6] [--json FILE]

Random weights (speed does not depend on them) in ``--blocks`` blocks of width 4096, 32 heads and
11008 hidden neurons, an output head of 32000 rows that is dense bf16 everywhere, a cache of 128
tokens that is full. Dense rows are our own dense products in the same loop, which read memory at
the speed of a plain sum; torch's would be slower. Every block has memory of its own. Models take
turns; bandwidth is probed around every turn and ratios are within a turn's round and mode.
``32 blocks`` is 32 / blocks times the time outside the head, plus the head. int4 values have a
scale for every group of 64 columns, ``int4/128`` and ``int8/64`` say another. ``bytes`` is what
dense bf16 reads over what the model reads: no ratio bound by memory is above it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch

from neurosparse import kernels
from neurosparse.compiled import compiled_decoder
from neurosparse.measure import ReadProbe, mode_edge, mode_of
from neurosparse.tiles import Tiles

WIDTH, INNER, HEADS, VOCABULARY, POSITIONS = 4096, 11008, 32, 32000, 128
SHAPES = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "o": (WIDTH, WIDTH),
          "gate": (INNER, WIDTH), "up": (INNER, WIDTH), "down": (WIDTH, INNER)}


def raw(weight: Any, kind: str) -> Any:
    """A kind's own bits."""
    if kind == "bf16":
        return (weight.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    if kind.startswith("int8"):
        return np.clip(np.round(weight * 32 * 64), -127, 127).astype(np.int8)
    if kind.startswith("int4"):
        return np.clip(np.round(weight * 3 * 64), -8, 7).astype(np.int8)
    return weight


def matrix(shape: tuple[int, int], kind: str, sparsity: float) -> Tiles:
    """Random weights; sparsity 0 stores every item without a mask."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape, dtype=np.float32) / 64
    name, _, group = kind.partition("/")
    scales: Any = np.full(shape[0], 1 / (32 * 64), np.float32) if name == "int8" else None
    if name == "int4" or group:  # 1 / 256 of every group of columns
        scales = np.full((shape[0], -(-shape[1] // int(group or 64))), 0x3B80, np.uint16)
    if sparsity == 0:
        return Tiles.from_dense(raw(weight, kind), name, scales)
    bitmap = kernels.pack_mask(rng.random(shape, dtype=np.float32) >= sparsity)
    values = kernels.pack_values(raw(weight, kind), bitmap)
    return Tiles.from_rows(values, name, bitmap, kernels.row_offsets(bitmap), scales, shape[1])


def again(tiles: Tiles) -> Tiles:
    """The same in other memory."""
    masks = None if tiles.masks is None else tiles.masks.copy()
    return Tiles(tiles.kind, tiles.shape, masks, tiles.offsets, tiles.values.copy(), tiles.scales,
                 tiles.sums)


@dataclass
class Model:
    """One decoder and the seconds of its turns: (whole, head, before, after)."""

    name: str
    compiled: Any
    nbytes: int
    held: list[Any]
    turns: list[tuple[float, float, float, float]] = field(default_factory=list)


def build(name: str, kind: str, sparsity: float, blocks: int, halves: bool) -> Model:
    """A decoder of so many blocks."""
    made = {shape: matrix(shape, kind, sparsity) for shape in set(SHAPES.values())}
    ones = np.ones(WIDTH, np.float32)
    width = WIDTH // HEADS
    turn = np.zeros((POSITIONS, width), np.float32)
    cache = (HEADS, POSITIONS, width)
    layers = []
    for _ in range(blocks):
        layer: dict[str, Any] = {part: again(made[shape]) for part, shape in SHAPES.items()}
        layer |= {"before_attention": ones, "before_feed": ones, "cosine": turn + 1, "sine": turn,
                  "window": 0}
        for part in ("keys", "values"):
            layer[part] = np.zeros(cache, np.uint16 if halves else np.float32)
        layers.append(layer)
    head = matrix((VOCABULARY, WIDTH), "bf16", 0)
    sizes = {"width": WIDTH, "head_width": width, "positions": POSITIONS, "eps": 1e-5,
             "scale": width**-0.5, "cap": 0.0, "activation": 0, "halves": halves}
    nbytes = sum(one.nbytes for layer in layers for one in layer.values() if isinstance(one, Tiles))
    return Model(name, compiled_decoder(sizes, layers, head, ones), nbytes + head.nbytes,
                 [layers, head])


def take_turns(models: list[Model], rounds: int, steps: int) -> None:
    """Every model writes some tokens at the end of its cache, round after round."""
    probe = ReadProbe()
    before = probe.read()
    embedding = np.random.default_rng(1).standard_normal(WIDTH, dtype=np.float32)
    logits = np.empty(VOCABULARY, np.float32)
    for number in range(rounds + 1):
        for model in models:
            whole, head = [], []
            for _ in range(steps):
                spent, begin = model.compiled.spent[1], time.perf_counter()
                kernels.raise_on(model.compiled.step(POSITIONS - 1, embedding.copy(), logits),
                                 "decode")
                whole.append(time.perf_counter() - begin)
                head.append(model.compiled.spent[1] - spent)
            after = probe.read()
            if number:
                model.turns.append((median(whole), median(head), before, after))
            before = after


def summary(models: list[Model], blocks: int) -> list[dict[str, Any]]:
    """By mode and model."""
    edge = mode_edge([reading for model in models for turn in model.turns for reading in turn[2:]])
    rows = []
    for mode in ("one", "wide", "narrow"):
        for model in models:
            mine = [turn for turn in model.turns if mode_of(turn[2:], edge) == mode]
            if not mine:
                continue
            whole, head = median(t[0] for t in mine), median(t[1] for t in mine)
            full = head + 32 / blocks * (whole - head)
            rows.append({"mode": mode, "model": model.name, "turns": len(mine), "ms": 1e3 * whole,
                         "tokens/s": 1 / whole, "GB/s": model.nbytes / whole / 1e9,
                         "bandwidth": median((t[2] + t[3]) / 2 for t in mine) / 1e9,
                         "MB": model.nbytes / 1e6, "32 blocks tokens/s": 1 / full})
    for row in rows:
        base = next((other for other in rows if other["mode"] == row["mode"]
                     and other["model"] == "dense bf16"), None)
        own = next((other for other in rows if other["mode"] == row["mode"]
                    and other["model"] == f"dense {row['model'].split()[0]}"), None)
        row["x dense bf16"] = base and base["ms"] / row["ms"]
        row["bytes"] = base and base["MB"] / row["MB"]
        row["x own dense"] = own and own["ms"] / row["ms"]
        row["x dense bf16, 32 blocks"] = base and (
            row["32 blocks tokens/s"] / base["32 blocks tokens/s"])
    return rows


def main() -> None:
    """Build, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.
                                     RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.7])
    parser.add_argument("--kinds", nargs="+", default=["bf16", "int8", "fp32"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", help="also write the figures here")
    parser.add_argument("--quick", action="store_true", help="one block, one round")
    options = parser.parse_args()
    if options.quick:
        options.blocks, options.rounds, options.steps = 1, 1, 1
    torch.set_num_threads(kernels.threads())
    models = [build(f"dense {kind}", kind, 0.0, options.blocks, kind != "fp32")
              for kind in options.kinds]
    models += [build(f"{kind} {sparsity:.0%}", kind, sparsity, options.blocks, kind != "fp32")
               for sparsity in options.sparsities for kind in options.kinds]
    take_turns(models, options.rounds, options.steps)
    rows = summary(models, options.blocks)
    print(f"{options.blocks} blocks, {kernels.threads()} threads, {kernels.level()}")
    heads = ("mode", "model", "turns", "MB", "ms", "tokens/s", "GB/s", "bandwidth", "x dense bf16",
             "bytes", "x own dense", "32 blocks tokens/s", "x dense bf16, 32 blocks")
    print("  ".join(heads))
    for row in rows:
        print("  ".join(f"{row[h]:{len(h)}.2f}" if isinstance(row[h], float)
                        else f"{row[h]!s:{len(h)}}" for h in heads))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as handle:
            json.dump({"blocks": options.blocks, "threads": kernels.threads(),
                       "level": kernels.level(), "rows": rows,
                       "turns": {model.name: model.turns for model in models}}, handle, indent=1)


if __name__ == "__main__":
    main()
