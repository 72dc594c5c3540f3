"""The whole model that is decoded: blocks of ``weights`` with norms, rotations and attention.

A Llama with a vocabulary of 256, so that its blocks are all that takes time, and its logits by
NumPy to check the decoders against.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from peers.stack import sigmoid
from peers.weights import STEP, Shape

Floats = NDArray[np.float32]
VOCABULARY, EPSILON, BASE = 256, 1e-5, 10000.0
POSITIONS = 128  # tokens in the cache while time is taken
CHECKED = 16


class Source(Protocol):
    """``Weights``, or what a file format has made of them."""

    shape: Shape

    def floats(self, part: str, block: int) -> Floats:
        """A matrix, array of shape (rows, columns)."""


def tokens(count: int) -> list[int]:
    """A text."""
    return [int(token) for token in np.random.default_rng(3).integers(0, VOCABULARY, count)]


def ends(shape: Shape) -> tuple[Floats, Floats]:
    """Embedding and head, arrays of shape (vocabulary, width), exact in bfloat16."""
    rng = np.random.default_rng(4)
    both = []
    for size in (1.0, 1 / math.sqrt(shape.width)):
        drawn = rng.standard_normal((VOCABULARY, shape.width), dtype=np.float32) * np.float32(size)
        both.append((drawn.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))
    return both[0], both[1]


def rotations(count: int) -> tuple[Floats, Floats]:
    """Cosines and sines, arrays of shape (count, 128), halves alike."""
    speeds = BASE ** (-np.arange(0, STEP, 2) / STEP)
    angles = np.outer(np.arange(count), np.concatenate([speeds, speeds]))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def reference(source: Source, blocks: int, text: list[int]) -> Floats:
    """Logits after the last token, float32 array of shape (vocabulary,)."""
    embedding, head = ends(source.shape)
    x = embedding[text]
    for block in range(blocks):
        def times(part: str, vectors: Floats, block: int = block) -> Floats:
            return vectors @ source.floats(part, block).T

        x = x + times("o", attention(times, normed(x), source.shape.heads))
        h = normed(x)
        gate = times("gate", h)
        x = x + times("down", gate * sigmoid(gate) * times("up", h))
    result: Floats = normed(x[-1:])[0] @ head.T
    return result


def normed(x: Floats) -> Floats:
    """Root-mean-square norm with a gain of one."""
    result: Floats = x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON)
    return result


def attention(times: Any, h: Floats, heads: int) -> Floats:
    """Causal, of all tokens at once."""
    count = len(h)
    cosine, sine = (turn[:, None] for turn in rotations(count))
    q, k, v = (times(part, h).reshape(count, heads, STEP) for part in ("q", "k", "v"))

    def turned(part: Floats) -> Floats:
        half = np.concatenate([-part[..., STEP // 2 :], part[..., : STEP // 2]], -1)
        result: Floats = (part * cosine + half * sine).astype(np.float32)
        return result

    scores = np.einsum("ihd,jhd->hij", turned(q), turned(k)) / math.sqrt(STEP)
    scores[:, np.triu(np.ones((count, count), bool), 1)] = -np.inf
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    result: Floats = np.einsum("hij,jhd->ihd", shares, v).reshape(count, -1).astype(np.float32)
    return result
