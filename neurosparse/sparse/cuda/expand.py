"""CUDA kernel: rows of gaps and values as dense rows, for the product of many rows of x."""

from __future__ import annotations

import ctypes
from typing import Any

import torch

from neurosparse.sparse.cuda.card import Card, card_of
from neurosparse.sparse.cuda.compile import HERE, kernel
from neurosparse.sparse.cuda.groups import VALUES, XS, pointers
from neurosparse.sparse.gaps import Gaps

SOURCE = HERE / "gap_expand.cu"
WARPS = 16
"""Warps a block."""
WINDOW = 4096
"""Bytes of a row that a warp has in shared memory at a time."""
BLOCKS = 2
"""On a multiprocessor at a time."""


class Expand:
    """Dense rows ``first:last``, prepared.

    Parameters
    ----------
    gaps
        The matrix, or more of which it is a part.
    scales : float32 tensor of shape (rows,), optional
    dtype
        float32, float16 or bfloat16.
    """

    def __init__(self, gaps: Gaps, scales: torch.Tensor | None, first: int, last: int,
                 dtype: torch.dtype, card: Card) -> None:
        self._kept = gaps, scales  # whose memory the arguments point to
        self._shape, self._dtype, self._device = (last - first, gaps.cols), dtype, (
            gaps.values.device)
        shared = WARPS * WINDOW
        made = kernel(SOURCE, "gap_expand", self._device, shared,
                      VALUES=VALUES[gaps.values.dtype], X=XS[dtype], WARPS=WARPS, PER_SM=BLOCKS,
                      BYTES=WINDOW)
        given = arguments(gaps, scales, first, last, dtype)
        self._out = given[0]
        self._launch = made.prepare(card.processors * BLOCKS, 32 * WARPS, shared, given)

    def __call__(self) -> torch.Tensor:
        """Without waiting for the device.

        Returns
        -------
        tensor of shape (last - first, cols)
            Each entry the stored value times its scale in float32, rounded to ``dtype``.
        """
        out = torch.empty(self._shape, dtype=self._dtype, device=self._device)
        if out.numel():
            with self._launch.lock:
                self._out.value = out.data_ptr()
                self._launch()
        return out


def prepared(gaps: Gaps, scales: torch.Tensor | None, first: int, last: int, dtype: torch.dtype
             ) -> Expand | None:
    """None on a card that is too old."""
    card = card_of(gaps.values.device)
    return card and Expand(gaps, scales, first, last, dtype, card)


def arguments(gaps: Gaps, scales: torch.Tensor | None, first: int, last: int, dtype: torch.dtype
              ) -> list[Any]:
    """Of the kernel, as ctypes values; the first, where the rows go, is set later."""
    numbers = [last - first, gaps.cols, int(gaps.cols * dtype.itemsize % 16 == 0)]
    return [ctypes.c_void_p(), *pointers(gaps, scales, first).values(),
            *map(ctypes.c_int32, numbers)]
