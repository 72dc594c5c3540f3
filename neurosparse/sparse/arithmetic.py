"""Products with packed rows: the kernels on the CPU, plain torch elsewhere.

All functions take the rows ``first:last`` of a bitmap, so that one packed array can hold many
matrices (fused experts), and expand at most one tile of rows at a time: the dense weight never
exists as a whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neurosparse import kernels
from neurosparse.sparse.kinds import Kind, kind_of

# Up to so many rows of x the matrix-vector kernels, four rows a walk, beat expanding the weight:
# against a product in float32, and against one in bfloat16.
FEW, FEW_BF16 = 16, 4
# Entries of one expanded tile: 4 MB in fp32, so that it is multiplied while still in cache.
_TILE = 1 << 20
_LEAST_ROWS = 64


@dataclass(frozen=True, eq=False)
class Rows:
    """Packed rows with their NumPy views, made once and used by every call on the CPU.

    bitmap, values, scales : tensors as in ``PackedMatrix``
    offsets : int64 tensor of shape (rows + 1,)
        Where a row's values begin.
    """

    bitmap: torch.Tensor
    values: torch.Tensor
    scales: torch.Tensor | None
    offsets: torch.Tensor
    kind: Kind
    arrays: tuple[Any, Any, Any, Any] | None

    @classmethod
    def of(cls, bitmap: torch.Tensor, values: torch.Tensor, scales: torch.Tensor | None,
           offsets: torch.Tensor) -> Rows:
        """Views of tensors on the CPU; elsewhere the tensors alone."""
        kind = kind_of(values)
        arrays = None
        if bitmap.device.type == "cpu":
            arrays = (bitmap.contiguous().numpy(), values.contiguous().view(kind.bits).numpy(),
                      None if scales is None else scales.contiguous().numpy(),
                      offsets.contiguous().numpy())
        return cls(bitmap, values, scales, offsets, kind, arrays)


def row_offsets(bitmap: torch.Tensor) -> torch.Tensor:
    """Where every row's values begin, int64 tensor of shape (rows + 1,) on the bitmap's device."""
    offsets = kernels.row_offsets(bitmap.detach().cpu().contiguous().numpy())
    return torch.from_numpy(offsets).to(bitmap.device)


def multiply(x: torch.Tensor, rows: Rows, first: int, last: int) -> torch.Tensor:
    """``x @ W[first:last].T``.

    Parameters
    ----------
    x : floating tensor of shape (..., cols)
    first, last
        Rows of the bitmap.

    Returns
    -------
    tensor of shape (..., last - first), x.dtype
        Computed in float32, or in bfloat16 with float32 sums where x and the values are bfloat16
        and x has more than ``FEW_BF16`` rows.
    """
    *lead, cols = x.shape
    count = math.prod(lead)
    inner = torch.float32
    if x.dtype == rows.kind.dtype == torch.bfloat16:
        inner = torch.bfloat16
    if count == 0:
        return x.new_empty((*lead, last - first))
    if rows.arrays is not None and count <= (FEW if inner == torch.float32 else FEW_BF16):
        return _few(x, rows, first, last)
    left = x.reshape(count, cols).to(inner)
    out = x.new_empty((count, last - first), dtype=inner)
    for a, b in _tiles(first, last, cols):
        torch.mm(left, tile(rows, cols, a, b, inner).T, out=out[:, a - first : b - first])
    return out.to(x.dtype).reshape(*lead, last - first)


def multiply_transposed(grad: torch.Tensor, rows: Rows, cols: int, first: int, last: int
                        ) -> torch.Tensor:
    """``grad @ W[first:last]``, the gradient with respect to x of ``multiply``.

    Parameters
    ----------
    grad : floating tensor of shape (n, last - first)

    Returns
    -------
    tensor of shape (n, cols), grad.dtype; summed in float32.
    """
    left = grad.to(torch.float32)
    out = left.new_zeros((grad.shape[0], cols))
    for a, b in _tiles(first, last, cols):
        out.addmm_(left[:, a - first : b - first], tile(rows, cols, a, b, torch.float32))
    return out.to(grad.dtype)


def tile(rows: Rows, cols: int, first: int, last: int, dtype: torch.dtype) -> torch.Tensor:
    """Dense rows ``first:last``, tensor of shape (last - first, cols) and floating ``dtype``."""
    if rows.arrays is None:
        return _torch_tile(rows, cols, first, last, dtype)
    bitmap, values, scales, offsets = rows.arrays
    if dtype == rows.kind.dtype:
        same = kernels.expand(values, bitmap, offsets, cols, first, last)
        return torch.from_numpy(same).view(dtype)
    dense = kernels.expand_float(values, rows.kind.name, bitmap, offsets, scales, cols, first, last)
    return torch.from_numpy(dense).to(dtype)


def _few(x: torch.Tensor, rows: Rows, first: int, last: int) -> torch.Tensor:
    # Every token passes here once a linear: what is not needed is not called.
    assert rows.arrays is not None
    bitmap, values, scales, offsets = rows.arrays
    if last - first != bitmap.shape[0]:
        begin = offsets[first]
        bitmap, values = bitmap[first:last], values[begin:]
        offsets = offsets[first : last + 1] - begin
        scales = None if scales is None else scales[first:last]
    exact = x.dtype == torch.float32
    if x.requires_grad:
        x = x.detach()
    array = (x if exact else x.to(torch.float32)).numpy()
    *lead, cols = array.shape
    left = np.ascontiguousarray(array).reshape(-1, cols)
    found = kernels.matvec(values, rows.kind.name, bitmap, offsets, scales, left)
    out = torch.from_numpy(found.reshape(*lead, last - first))
    return out if exact else out.to(x.dtype)


def _tiles(first: int, last: int, cols: int) -> list[tuple[int, int]]:
    height = max(_TILE // max(cols, 1), _LEAST_ROWS)
    return [(a, min(a + height, last)) for a in range(first, last, height)]


def _torch_tile(rows: Rows, cols: int, first: int, last: int, dtype: torch.dtype) -> torch.Tensor:
    """The same with torch operators alone, which never wait for the device."""
    bitmap = rows.bitmap[first:last]
    places = torch.arange(8, dtype=torch.uint8, device=bitmap.device)
    bits = ((bitmap[:, :, None] >> places) & 1).flatten(1)[:, :cols]
    index = bits.to(torch.int64).cumsum(1) - 1 + rows.offsets[first:last, None]
    # A clear bit may point one before its row: clamped, and masked away.
    dense = rows.values[index.clamp_min_(0)].to(torch.float32)
    if rows.scales is not None:
        dense = dense * rows.scales[first:last, None]
    return torch.where(bits.bool(), dense, 0.0).to(dtype)
