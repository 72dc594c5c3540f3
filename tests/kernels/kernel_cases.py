"""Matrices for the kernel tests: shapes that pinch, masks from empty to full, all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from instruction_levels import in_parts
from numpy.typing import NDArray

from neurosparse import kernels
from neurosparse.tiles import Tiles

Array = NDArray[Any]

EDGES = [(0, 5), (1, 1), (4, 1), (2, 63), (3, 64), (3, 65), (1, 127), (5, 128), (3, 576), (2, 1000)]
DENSITIES = [0.0, 0.02, 0.5, 0.97, 1.0]
FORMS = (*kernels.KINDS, "int8 groups")
"""Kinds of values, and int8 with a scale for every group of columns, as int4 always has."""


@dataclass
class Case:
    """A masked matrix in one kind, with what the kernels need of it."""

    kind: str
    mask: Array
    raw: Array  # dense, the kind's own bits
    scales: Array | None

    @property
    def cols(self) -> int:
        return int(self.mask.shape[1])

    @property
    def rows(self) -> int:
        return int(self.mask.shape[0])

    @property
    def floats(self) -> Array:
        """Dense float32 with zeros where the mask is clear, by NumPy's own conversions."""
        if self.kind == "bf16":
            dense = (self.raw.astype(np.uint32) << 16).view(np.float32)
        elif self.kind == "fp16":
            dense = self.raw.view(np.float16).astype(np.float32)
        else:
            dense = self.raw.astype(np.float32)
        dense = np.where(self.mask, dense, np.float32(0))
        if self.scales is None:
            return dense
        if self.scales.ndim == 1:
            return dense * self.scales[:, None]
        group = kernels.group_of(self.cols, self.scales.shape[1])
        scales = (self.scales.astype(np.uint32) << 16).view(np.float32)
        return dense * scales[:, np.arange(self.cols) // group] + np.float32(0)

    def packed(self) -> tuple[Array, Array, Array]:
        """Values, bitmap, offsets at the level in use."""
        bitmap = kernels.pack_mask(self.mask)
        return kernels.pack_values(self.raw, bitmap), bitmap, kernels.row_offsets(bitmap)

    def tiles(self) -> Tiles:
        """In tile order, made at the level in use."""
        values, bitmap, offsets = self.packed()
        return Tiles.from_rows(values, self.kind, bitmap, offsets, self.scales, self.cols)

    def product(self, x: Array) -> Array:
        return self.tiles().matvec(x)


def make_case(kind: str, rows: int, cols: int, density: float, seed: int) -> Case:
    """Random case; the random generator is its own."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((rows, cols)).astype(np.float32)
    form, kind = kind, kind.partition(" ")[0]
    raw = {
        "fp32": weight,
        "bf16": (weight.view(np.uint32) >> 16).astype(np.uint16),
        "fp16": weight.astype(np.float16).view(np.uint16),
        "int8": np.clip(np.round(weight * 40), -127, 127).astype(np.int8),
        "int4": np.clip(np.round(weight * 4), -8, 7).astype(np.int8),
    }[kind]
    scales: Array | None = None
    if form == "int8":
        scales = rng.uniform(0.001, 0.1, rows).astype(np.float32)
    elif kind in ("int8", "int4"):
        group = kernels.GROUPS[seed % len(kernels.GROUPS)]
        some = rng.uniform(-0.1, 0.1, (rows, -(-cols // group))).astype(np.float32)
        scales = (some.view(np.uint32) >> 16).astype(np.uint16)
    return Case(kind, rng.random((rows, cols)) < density, raw, scales)


def cases() -> st.SearchStrategy[Case]:
    """Hypothesis strategy over kinds, shapes, densities."""
    shapes = st.one_of(
        st.sampled_from(EDGES), st.tuples(st.integers(0, 9), st.integers(1, 300))
    )
    return st.builds(
        lambda kind, shape, density, seed: make_case(kind, *shape, density, seed),
        st.sampled_from(FORMS), shapes, st.sampled_from(DENSITIES), st.integers(0, 999),
    )  # fmt: skip


def bound(case: Case, x: Array) -> Array:
    """The stated bound on |y - exact| at the level in use, [batch, rows]."""
    weights = np.abs(case.floats).astype(np.float64)
    sizes = np.abs(x).astype(np.float64) @ weights.T
    sums = (case.cols + 16) * np.finfo(np.float32).eps * sizes
    if not in_parts(kernels.level()) or case.kind in ("fp32", "fp16"):
        return sums
    if case.kind == "bf16":
        return sums + 2.0**-16 * sizes
    largest = np.abs(x).astype(np.float64).max(axis=1, initial=0)[:, None]
    return sums + 2.0**-16 * largest * weights.sum(axis=1)


def exact(case: Case, x: Array) -> Array:
    """The product in float64."""
    return x.astype(np.float64) @ case.floats.astype(np.float64).T
