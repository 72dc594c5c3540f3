"""One matrix as a bitmap and its values: pack, unpack, and how many bytes that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from neurosparse import kernels
from neurosparse.errors import InputError
from neurosparse.layout import bitmap_bytes
from neurosparse.sparse.groups import grouped
from neurosparse.sparse.kinds import Kind, find_group, find_kind, kind_of

_TINY = torch.finfo(torch.float32).tiny


@dataclass
class PackedMatrix:
    """A sparse matrix in the layout of docs/format.md.

    bitmap : uint8 tensor of shape (rows, 8 ceil(cols / 64))
        Bit j of a row is byte j // 8, bit j % 8; the bits after the last column are zero.
    values : tensor of shape (padded length,)
        The set entries by row, then zeros: bfloat16, float16, float32, int8, or uint8 for int4,
        two in an item and the first in its lower half.
    scales : float32 tensor of shape (rows,), or None
        For int8: an entry is ``scale * value``. With groups of columns, and so for int4: bfloat16
        of shape (rows, groups).
    shape
        (rows, cols).
    nnz
        Entries whose bit is set.
    """

    bitmap: torch.Tensor
    values: torch.Tensor
    scales: torch.Tensor | None
    shape: tuple[int, int]
    nnz: int

    @property
    def kind(self) -> Kind:
        """Kind of the values."""
        return kind_of(self.values)

    @property
    def group(self) -> int | None:
        """Columns that share a scale; None where a row does, or there are none.

        Where one group is the whole row, the least of ``kernels.GROUPS`` that holds it.
        """
        if self.scales is None or self.scales.ndim != 2:
            return None
        return kernels.group_of(self.shape[1], self.scales.shape[1])

    def has_groups(self, group: int | None) -> bool:
        """Whether the scales are of groups of so many columns (None: of rows, or none)."""
        if self.scales is None or self.scales.ndim != 2:
            return group is None
        return group is not None and self.scales.shape[1] == -(-self.shape[1] // group)

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays, in memory and on disk."""
        arrays = (self.bitmap, self.values, self.scales)
        return sum(array.nbytes for array in arrays if array is not None)


def packed_bytes(rows: int, cols: int, nnz: int, values: str, group_size: int | None = None
                 ) -> int:
    """Bytes that ``pack`` makes of a matrix, exactly.

    ``rows * 8 ceil(cols / 64)`` for the bitmap, the padded values, and for scales 4 a row (int8) or
    2 a row and group of columns.

    Raises
    ------
    InputError
        Unknown kind of values or size of groups, or a negative size, or more entries than the
        matrix has.
    """
    kind, group = find_kind(values), find_group(values, group_size)
    if rows < 0 or cols < 0 or not 0 <= nnz <= rows * cols:
        raise InputError("packed_bytes", found=f"rows={rows}, cols={cols}, nnz={nnz}",
                         expected="sizes of at least 0 and at most rows * cols entries")
    scales = 4 * rows if kind.name == "int8" else 0
    if group is not None:
        scales = 2 * rows * -(-cols // group)
    payload = kind.length(nnz) * kind.itemsize
    return rows * bitmap_bytes(cols) + payload + scales


def pack(weight: torch.Tensor, *, mask: torch.Tensor | None = None, values: str = "bf16",
         group_size: int | None = None) -> PackedMatrix:
    """Pack a matrix as a bitmap and its values.

    Parameters
    ----------
    weight : floating tensor of shape (rows, cols)
        On any device; the result is on the CPU.
    mask : bool tensor of shape (rows, cols), optional
        The entries to keep, zeros among them too; by default those that are not zero. Entries
        outside the mask are dropped whatever they hold. What is dropped comes back as +0.
    values
        ``"bf16"``, ``"fp16"`` and ``"fp32"`` round to nearest even. ``"int8"`` is symmetric by
        row: ``scale = max|w| / 127`` and ``value = round(w / scale)``, so that an entry is off by
        at most ``scale / 2``. ``"int4"`` has a scale for every group of columns; see
        ``neurosparse.sparse.groups``.
    group_size
        Columns that share a scale, 32, 64, 128 or 256: by default 64 with int4, with int8 the row.

    Raises
    ------
    InputError
        Not a floating matrix, a mask of another shape, NaN or Inf in a kept entry, or an entry
        too large for fp16.
    """
    kind, group = find_kind(values), find_group(values, group_size)
    if weight.ndim != 2 or not weight.is_floating_point():
        raise InputError("pack", found=f"a {weight.dtype} tensor of shape {tuple(weight.shape)}",
                         expected="a floating matrix (rows, cols)")
    dense = weight.detach().to("cpu")
    keep = dense != 0 if mask is None else mask.detach().to("cpu", torch.bool)
    if keep.shape != dense.shape:
        raise InputError("pack", found=f"a mask of shape {tuple(keep.shape)}",
                         expected=f"{tuple(dense.shape)}, as the weight")
    if mask is not None:
        dense = torch.where(keep, dense, torch.zeros((), dtype=dense.dtype))
    scales: torch.Tensor | None = None
    if group is not None:
        stored, scales = grouped(dense, 4 if kind.name == "int4" else 8, group)
    elif kind.name == "int8":
        stored, scales = quantised(dense)
    else:
        stored = _rounded(dense, kind)
    bitmap = kernels.pack_mask(keep.contiguous().numpy())
    carried = stored.contiguous().view(torch.int8 if kind.name == "int4" else kind.bits)
    payload, nnz = kernels.pack_values(carried.numpy(), bitmap), int(torch.count_nonzero(keep))
    if kind.name == "int4":
        payload = kernels.narrow(payload, nnz)
    rows, cols = dense.shape
    return PackedMatrix(torch.from_numpy(bitmap), torch.from_numpy(payload).view(kind.dtype),
                        scales, (rows, cols), nnz)


def unpack(packed: PackedMatrix, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The dense matrix of a packed one, tensor of shape ``packed.shape`` on the CPU.

    Raises
    ------
    InputError
        ``dtype`` is not a floating type.
    """
    if not dtype.is_floating_point:
        raise InputError("unpack", found=f"dtype={dtype}", expected="a floating dtype")
    kind = packed.kind
    bitmap = packed.bitmap.cpu().contiguous().numpy()
    values = packed.values.cpu().contiguous().view(kind.bits).numpy()
    rows, cols = packed.shape
    offsets = kernels.row_offsets(bitmap)
    if kind.dtype == dtype:
        same = kernels.expand(values, bitmap, offsets, cols, 0, rows)
        return torch.from_numpy(same).view(dtype)
    scales = carried_scales(packed.scales)
    if kind.name == "int4":
        values = kernels.widen(values, 0, packed.nnz)
    dense = kernels.expand_float(values, kind.name, bitmap, offsets, scales, cols, 0, rows)
    return torch.from_numpy(dense).to(dtype)


def carried_scales(scales: torch.Tensor | None) -> Any:
    """As NumPy takes them: float32, or of groups bfloat16 patterns."""
    if scales is None:
        return None
    held = scales.cpu().contiguous()
    return held.view(torch.uint16).numpy() if scales.ndim == 2 else held.numpy()


def _rounded(dense: torch.Tensor, kind: Kind) -> torch.Tensor:
    stored = dense.to(kind.dtype)
    _check_finite(dense, stored)
    return stored


def _check_finite(dense: torch.Tensor, stored: torch.Tensor) -> None:
    if bool(torch.isfinite(stored).all()):
        return
    wrong = dense[~torch.isfinite(stored)][0].item()
    mend = "Use values='bf16' or 'fp32'." if wrong == wrong and abs(wrong) != float("inf") else ""
    raise InputError("pack", found=f"the entry {wrong}",
                     expected=f"finite entries that {stored.dtype} holds", mend=mend)


def quantised(dense: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 entries and a float32 scale for every row."""
    exact = dense.to(torch.float32)
    _check_finite(dense, exact)
    if dense.shape[1] == 0:
        return exact.to(torch.int8), torch.zeros(dense.shape[0])
    largest = exact.abs().amax(dim=1)
    # A scale below the smallest normal number would itself be rounded coarsely.
    scales = torch.where(largest > 0, (largest / 127).clamp_min(_TINY), 0.0)
    steps = torch.where(scales > 0, scales, 1.0)[:, None]
    return (exact / steps).round_().clamp_(-127, 127).to(torch.int8), scales
