"""Products with packed rows: compiled kernels on the CPU, CUDA's or Triton's on a GPU, else torch.

All functions take the rows ``first:last`` of a bitmap, so that one packed array can hold many
matrices (fused experts). On the CPU they are put into tile order (``neurosparse.tiles``) at their
first product. Where rows are expanded it is one tile at a time: the dense weight never exists as a
whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from neurosparse import kernels
from neurosparse.errors import FormatError
from neurosparse.sparse import on_gpu
from neurosparse.sparse.bits import unpack_bits
from neurosparse.sparse.gaps import to_values
from neurosparse.sparse.groups import spread
from neurosparse.sparse.kinds import Kind, kind_of
from neurosparse.sparse.matrix import carried_scales
from neurosparse.tiles import Tiles

# Up to so many rows of x the matrix-vector kernels beat the matrix product of packed rows, and
# torch's product with expanded rows where a level has no product of its own.
FEW, FEW_EXPANDED = 8, 16
# From so many rows of a bfloat16 x on, torch's product with expanded rows wins where torch
# multiplies by a matrix unit (AMX) and the kernels do not.
FEW_BY_UNIT = 96
MATRIX_UNIT = bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
# Entries of one expanded tile: 4 MB in fp32, so that it is multiplied while still in cache.
_TILE = 1 << 20
_LEAST_ROWS = 64


Made = dict[Any, Any]  # tiles by first and last row on the CPU, on a card the order of gaps
_MADE: Any = WeakTensorKeyDictionary()  # values -> (what they were then, made of them)


def version_of(tensor: torch.Tensor | None) -> int:
    """How often a tensor was changed in place."""
    return 0 if tensor is None or tensor.is_inference() else tensor._version


def _made_of(bitmap: torch.Tensor, values: torch.Tensor, scales: torch.Tensor | None) -> Made:
    """Matrices in tile order that were made of these very tensors as they are now.

    Operators are given tensors and not the module that holds them; the dictionary forgets an entry
    when its values are gone.
    """
    now = tuple((0 if t is None else t.data_ptr(), version_of(t)) for t in (bitmap, values, scales))
    found = _MADE.get(values)
    if found is None or found[0] != now:
        found = (now, {})
        _MADE[values] = found
    made: Made = found[1]
    return made


@dataclass(frozen=True, eq=False)
class Rows:
    """Packed rows with their NumPy views, made once and used by every call on the CPU.

    bitmap, scales : tensors as in ``PackedMatrix``
    stored : tensor, optional
        The values as in ``PackedMatrix``; None where a card keeps the order of gaps instead.
    offsets : int64 tensor of shape (rows + 1,)
        Where a row's values begin.
    cols
        Columns of the matrix.
    """

    bitmap: torch.Tensor
    stored: torch.Tensor | None
    scales: torch.Tensor | None
    offsets: torch.Tensor
    cols: int
    kind: Kind
    arrays: tuple[Any, Any, Any, Any] | None
    made: Made = field(default_factory=dict)

    @classmethod
    def of(cls, bitmap: torch.Tensor, values: torch.Tensor, scales: torch.Tensor | None,
           offsets: torch.Tensor, cols: int) -> Rows:
        """Views of tensors on the CPU, with what was made of them; elsewhere the tensors alone."""
        kind = kind_of(values)
        arrays, made = None, _made_of(bitmap, values, scales)
        if bitmap.device.type == "cpu":
            carried = values.detach().contiguous().view(kind.bits)
            arrays = (bitmap.contiguous().numpy(), carried.numpy(), carried_scales(scales),
                      offsets.contiguous().numpy())
        return cls(bitmap, values, scales, offsets, cols, kind, arrays, made)

    @property
    def values(self) -> torch.Tensor:
        """The values; made again of the order of gaps, and kept, where that is all there is."""
        if self.stored is not None:
            return self.stored
        found: torch.Tensor | None = self.made.get("values")
        if found is None:
            length = self.kind.length(int(self.offsets[-1]))
            with torch.inference_mode(False), torch.no_grad():  # a gradient may ask for them
                found = self.made["values"] = to_values(self.made["gaps"], self.bitmap, length)
        return found

    def without_values(self) -> Rows:
        """The same rows by their order of gaps, which must have been made."""
        return replace(self, stored=None)

    def with_values(self) -> Rows:
        """The same rows with their values, and with what was made of them before."""
        found = Rows.of(self.bitmap, self.values, self.scales, self.offsets, self.cols)
        found.made.update({key: one for key, one in self.made.items() if key != "values"})
        return found

    def tiles(self, first: int, last: int) -> Tiles:
        """Rows ``first:last`` in tile order, made once."""
        found: Tiles | None = self.made.get((first, last))
        if found is None:
            bitmap, values, scales, offsets = self.part(first, last)
            found = Tiles.from_rows(values, self.kind.name, bitmap, offsets, scales, self.cols)
            self.made[first, last] = found
        return found

    def part(self, first: int, last: int) -> tuple[Any, Any, Any, Any]:
        """Bitmap, values (int4 values one a byte), scales and offsets of rows ``first:last``."""
        bitmap, values, scales, offsets = _held(self)
        begin, whole = offsets[first], last - first == bitmap.shape[0]
        if self.kind.name == "int4":
            values = kernels.widen(values, int(begin), int(offsets[last]))
        elif not whole:
            values = values[begin:]
        if not whole:
            bitmap, offsets = bitmap[first:last], offsets[first : last + 1] - begin
            scales = None if scales is None else scales[first:last]
        return bitmap, values, scales, offsets


def _held(rows: Rows) -> tuple[Any, Any, Any, Any]:
    assert rows.arrays is not None
    return rows.arrays


def row_offsets(bitmap: torch.Tensor) -> torch.Tensor:
    """Where every row's values begin, int64 tensor of shape (rows + 1,) on the bitmap's device."""
    offsets = kernels.row_offsets(bitmap.detach().cpu().contiguous().numpy())
    return torch.from_numpy(offsets).to(bitmap.device)


def all_in_order(matrices: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, int]],
                 *, mapped: bool = False) -> list[Rows]:
    """Whole matrices on the CPU, counted, checked and put into tile order.

    All but int4 values are one call, which lets other threads of Python run.

    Parameters
    ----------
    matrices
        Bitmap, values, scales and columns of each.
    mapped
        As for ``compiled.retile_all``.

    Raises
    ------
    FormatError
        As ``check_bits`` and ``check_values``.
    """
    made, singly = [], kernels.level() == "twin"
    for bitmap, values, scales, cols in matrices:
        check_bits(bitmap, cols)
        if singly or kind_of(values).name == "int4":  # how many there are must be known first
            offsets = row_offsets(bitmap)
            check_values(values, int(offsets[-1]))
            made.append(Rows.of(bitmap, values, scales, offsets, cols))
            made[-1].tiles(0, len(bitmap))
        else:
            offsets = torch.empty(len(bitmap) + 1, dtype=torch.int64)
            made.append(Rows.of(bitmap, values, scales, offsets, cols))
    rest = [rows for rows in made if not rows.made]
    parts = [(values, rows.kind.name, bitmap, offsets, scales, rows.cols)
             for rows in rest for bitmap, values, scales, offsets in [_held(rows)]]
    made_of = Tiles.all_from_rows(parts, mapped=mapped)
    for rows, tiles in zip(rest, made_of, strict=True):
        if not isinstance(tiles, Tiles):
            rows.offsets.copy_(row_offsets(rows.bitmap))
        check_values(rows.values, int(rows.offsets[-1]))
        if not isinstance(tiles, Tiles):
            kernels.raise_on(tiles, "put into tile order")
        else:
            rows.made[0, len(rows.bitmap)] = tiles
    return made


def check_values(values: torch.Tensor, nnz: int) -> None:
    """Refuse values that are not as many as the set bits.

    Raises
    ------
    FormatError
        As it says.
    """
    length = kind_of(values).length(nnz)
    if values.shape != (length,):
        raise FormatError("hold packed rows", found=f"values {tuple(values.shape)}",
                          expected=f"({length},) for {nnz} set bits")


def check_bits(bitmap: torch.Tensor, cols: int) -> None:
    """Refuse bits after the last column, which the kernels would take for values.

    Raises
    ------
    FormatError
        As it says.
    """
    after = bitmap[:, cols // 8 :] if cols % 64 else bitmap[:, :0]
    if after.shape[1] and bool((after[:, 0] >> cols % 8).any() or after[:, 1:].any()):
        raise FormatError("hold packed rows", found="bits after the last column",
                          expected=f"none in a matrix of {cols} columns")


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
        Summed in float32. On the CPU within the bounds of ``neurosparse.tiles``. On a GPU up to 16
        rows of x within those of ``triton_matvec``; more rows multiply a tile that was rounded to
        x's dtype where x is 16-bit and the values are int8 or of x's dtype, else in float32
        (scales of groups by operators of torch alone). So do many rows of a bfloat16 x on a CPU
        with a matrix unit.
        Elsewhere in float32, or in bfloat16 where x and the values are.
    """
    lead = x.shape[:-1]
    count = math.prod(lead)
    if count == 0:
        return x.new_empty((*lead, last - first))
    if rows.arrays is None:
        out = on_gpu.matvec(x.reshape(count, rows.cols), rows, first, last)
    else:
        out = _on_cpu(x, count, rows, first, last)
    if out is None:
        out = _by_tiles(x, count, rows, first, last)
    return out.to(x.dtype).view(*lead, last - first)


def _by_tiles(x: torch.Tensor, count: int, rows: Rows, first: int, last: int) -> torch.Tensor:
    inner = _inner(x, rows.kind)
    left = x.reshape(count, rows.cols).to(inner)
    out = x.new_empty((count, last - first), dtype=inner)
    for a, b in _tiles(first, last, rows):
        right, part = tile(rows, a, b, inner).T, out[:, a - first : b - first]
        if x.is_cuda:
            torch.mm(left, right, out=part)
        else:  # into columns of a wide matrix a CPU's product is up to five times slower
            part.copy_(left @ right)
    return out


def _inner(x: torch.Tensor, kind: Kind) -> torch.dtype:
    """What many rows of x and expanded rows are multiplied in."""
    if x.is_cuda and x.dtype in (torch.bfloat16, torch.float16):
        return x.dtype if kind.dtype in (x.dtype, torch.int8) else torch.float32
    if MATRIX_UNIT and x.dtype == torch.bfloat16:
        return torch.float32 if kind.dtype in (torch.float32, torch.float16) else x.dtype
    return torch.bfloat16 if x.dtype == kind.dtype == torch.bfloat16 else torch.float32


def multiply_transposed(grad: torch.Tensor, rows: Rows, first: int, last: int) -> torch.Tensor:
    """``grad @ W[first:last]``, the gradient with respect to x of ``multiply``.

    Parameters
    ----------
    grad : floating tensor of shape (n, last - first)

    Returns
    -------
    tensor of shape (n, cols), grad.dtype; summed in float32.
    """
    left = grad.to(torch.float32)
    out = left.new_zeros((grad.shape[0], rows.cols))
    for a, b in _tiles(first, last, rows):
        out.addmm_(left[:, a - first : b - first], tile(rows, a, b, torch.float32))
    return out.to(grad.dtype)


def gather_product(grad: torch.Tensor, x: torch.Tensor, rows: Rows, first: int, last: int,
                   out: torch.Tensor) -> None:
    """Entries of ``grad.T @ x`` under the set bits: the gradient with respect to the values.

    A tile of rows at a time; what was dropped is computed with its tile and thrown away.

    Parameters
    ----------
    grad : floating tensor of shape (n, last - first)
    x : floating tensor of shape (n, cols)
    out : tensor like the values
        The part of the rows ``first:last`` is added to.
    """
    left, right = grad.to(torch.float32), x.to(torch.float32)
    for a, b in _tiles(first, last, rows):
        dense = left[:, a - first : b - first].T @ right
        begin, end = int(rows.offsets[a]), int(rows.offsets[b])
        if rows.arrays is None:
            found = dense[_bits(rows, a, b)]
        else:
            packed = kernels.pack_values(dense.contiguous().numpy(), rows.arrays[0][a:b])
            found = torch.from_numpy(packed)[: end - begin]
        out[begin:end] += found.to(out.dtype)


def tile(rows: Rows, first: int, last: int, dtype: torch.dtype) -> torch.Tensor:
    """Dense rows ``first:last``, tensor of shape (last - first, cols) and floating ``dtype``."""
    if rows.arrays is None:
        made = on_gpu.expand(rows, first, last, dtype)
        return _torch_tile(rows, first, last, dtype) if made is None else made
    cols = rows.cols
    bitmap, values, scales, offsets = rows.arrays
    if dtype == rows.kind.dtype:
        same = kernels.expand(values, bitmap, offsets, cols, first, last)
        return torch.from_numpy(same).view(dtype)
    if rows.kind.name == "int4":
        bitmap, values, scales, offsets = rows.part(first, last)
        first, last = 0, last - first
    parts = (values, rows.kind.name, bitmap, offsets, scales, cols, first, last)
    if dtype == torch.bfloat16:
        return torch.from_numpy(kernels.expand_half(*parts)).view(dtype)
    return torch.from_numpy(kernels.expand_float(*parts)).to(dtype)


def _on_cpu(x: torch.Tensor, count: int, rows: Rows, first: int, last: int
            ) -> torch.Tensor | None:
    """By the kernels, or None where expanding is faster."""
    # Every token passes here once a linear: what is not needed is not called.
    halves = x.dtype == torch.bfloat16
    if x.requires_grad:
        x = x.detach()
    if not halves and x.dtype != torch.float32:
        x = x.to(torch.float32)
    if (MATRIX_UNIT and halves and count >= FEW_BY_UNIT and rows.kind.itemsize <= 2
            and (rows.kind.name == "fp16" or kernels.level() != "amx")):
        return None
    x = x.contiguous()
    out = torch.empty((count, last - first), dtype=x.dtype)
    if count > FEW:
        if rows.kind.name in ("bf16", "int8", "int4"):
            tiles = rows.tiles(first, last)
            if tiles.matmul_at(x.data_ptr(), halves, count, out.data_ptr()):
                return out
        if count > FEW_EXPANDED:
            return None
    tiles = rows.tiles(first, last)
    if not tiles.matvec_at(x.data_ptr(), halves, count, out.data_ptr()):
        floats = x.to(torch.float32).reshape(count, rows.cols)
        out.copy_(torch.from_numpy(tiles.matvec(floats.numpy())))
    return out


def _tiles(first: int, last: int, rows: Rows) -> list[tuple[int, int]]:
    if rows.bitmap.device.type == "cuda":
        height = on_gpu.tile_rows(max(last - first, 1), rows.cols)
    else:
        height = max(_TILE // max(rows.cols, 1), _LEAST_ROWS)
    return [(a, min(a + height, last)) for a in range(first, last, height)]


def _torch_tile(rows: Rows, first: int, last: int, dtype: torch.dtype) -> torch.Tensor:
    """The same with torch operators alone, which never wait for the device."""
    bits = _bits(rows, first, last)
    index = bits.to(torch.int64).cumsum(1) - 1 + rows.offsets[first:last, None]
    # A clear bit may point one before its row: clamped, and masked away.
    index.clamp_min_(0)
    if rows.kind.name == "int4":  # the first of two in the lower half, in two's complement
        both = rows.values[index >> 1]
        dense = ((torch.where(index % 2 == 1, both >> 4, both & 15) ^ 8).to(torch.float32)) - 8
    else:
        dense = rows.values[index].to(torch.float32)
    if rows.scales is not None and rows.scales.ndim == 2:
        group = kernels.group_of(rows.cols, rows.scales.shape[1])
        dense = dense * spread(rows.scales[first:last], group, rows.cols)
    elif rows.scales is not None:
        dense = dense * rows.scales[first:last, None]
    return torch.where(bits, dense, 0.0).to(dtype)


def _bits(rows: Rows, first: int, last: int) -> torch.Tensor:
    """Which entries are set, bool tensor of shape (last - first, cols)."""
    return unpack_bits(rows.bitmap[first:last], rows.cols)
