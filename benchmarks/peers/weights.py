"""One block's pruned weights, the same for every peer, and exact in every kind of value.

A weight is a small integer times a power of two. So bf16, fp16, fp32 and int8 by row hold the very
same matrix, and the outputs of two peers differ by the rounding of activations alone. Integers are
those of a normal distribution of width 32, a share ``sparsity`` of them zero at random places.

Further blocks are the first with its rows moved on, so that no two are equal: a peer that stores
equal constants once would not stream them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = ("q", "k", "v", "o", "gate", "up", "down")
# A head's width: rows moved on by whole heads keep the order within a head.
STEP = 128
_SPREAD = 32


@dataclass(frozen=True)
class Shape:
    """Sizes of a block of the Llama family; ``heads`` of 128 coordinates each."""

    width: int = 4096
    inner: int = 11008

    @property
    def heads(self) -> int:
        """Of attention; as many for keys and values."""
        return self.width // STEP

    def of(self, part: str) -> tuple[int, int]:
        """(rows, columns): outputs and inputs of one matrix."""
        if part == "down":
            return self.width, self.inner
        return (self.inner if part in ("gate", "up") else self.width), self.width

    @property
    def size(self) -> int:
        """Weights of a block."""
        return sum(math.prod(self.of(part)) for part in PARTS)


def exponent(cols: int, sparsity: float) -> int:
    """``k`` such that a product with integers times ``2^-k`` about keeps the size of its input."""
    return round(math.log2(_SPREAD * math.sqrt(cols * (1 - sparsity))))


class Weights:
    """A folder with the integers of one block, made where it is missing.

    Parameters
    ----------
    folder
        One ``.npy`` a matrix, int8.
    shape, sparsity, seed
        Of the block; a folder belongs to one choice of them.
    """

    def __init__(self, folder: str | Path, shape: Shape, sparsity: float = 0.7,
                 seed: int = 0) -> None:
        self.folder, self.shape, self.sparsity = Path(folder), shape, sparsity
        if not (self.folder / "complete").exists():
            self._make(seed)

    def _make(self, seed: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        for part in PARTS:
            of = self.shape.of(part)
            drawn = np.round(rng.standard_normal(of, dtype=np.float32) * _SPREAD)
            found = np.clip(drawn, -127, 127).astype(np.int8)
            found[found == 0] = 1  # so that the zeros are those of the mask
            found[rng.random(of, dtype=np.float32) < self.sparsity] = 0
            np.save(self.folder / f"{part}.npy", found)
        (self.folder / "complete").touch()

    def exponent(self, part: str) -> int:
        """``k``: a weight is its integer times ``2^-k``."""
        return exponent(self.shape.of(part)[1], self.sparsity)

    def integers(self, part: str, block: int) -> NDArray[np.int8]:
        """Of one matrix, array of shape (rows, columns)."""
        base = np.load(self.folder / f"{part}.npy", mmap_mode="r")
        return np.roll(base, -STEP * block, axis=0) if block else np.array(base)

    def floats(self, part: str, block: int) -> NDArray[np.float32]:
        """The same as float32 weights, exactly."""
        return self.integers(part, block) * np.float32(2.0 ** -self.exponent(part))

    def turned(self, part: str, block: int, kind: str) -> NDArray[Any]:
        """The transposed matrix, (columns, rows), as ``"int8"`` integers or float32 weights."""
        integers = np.ascontiguousarray(self.integers(part, block).T)
        if kind == "int8":
            return integers
        return integers * np.float32(2.0 ** -self.exponent(part))
