"""What the kernels over gaps share in Python, as ``gap_groups.cu`` is what they share in CUDA."""

from __future__ import annotations

import ctypes

import torch

from neurosparse.sparse.gaps import Gaps

VALUES = {torch.bfloat16: 0, torch.float16: 1, torch.int8: 2}
"""The macro of the kind of values."""
XS = {torch.bfloat16: 0, torch.float16: 1, torch.float32: 2}
"""The macro of the type of the other operand and of the result."""


def pointers(gaps: Gaps, scales: torch.Tensor | None, first: int) -> dict[str, ctypes.c_void_p]:
    """Values, gaps, and the offsets and scales from a row on, as ctypes values."""
    offsets = gaps.offsets.data_ptr() + first * gaps.offsets.itemsize
    scale = None if scales is None else scales.data_ptr() + first * scales.itemsize
    places = {"values": gaps.values.data_ptr(), "gaps": gaps.gaps.data_ptr(), "offsets": offsets,
              "scales": scale}
    return {name: ctypes.c_void_p(place) for name, place in places.items()}
