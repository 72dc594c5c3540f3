"""Matrices in the order in which they are multiplied on the CPU.

The files hold rows one after the other, for any reader and any device. Here 16 rows by 4 columns
stand together, so that a register of weights has a row in each of its lanes: one broadcast of x
serves sixteen rows, nothing is summed across lanes, and the values stream from memory in one line.
``Tiles.from_rows`` makes this order in one pass over the matrix.

Errors, as a share of ``sum |w| |x|`` a row: ``(cols + 16) 2^-23`` with x unrounded (fp32 and fp16
values; bf16, int8 and int4 below AVX-512 with BF16 and VNNI). With those instructions bf16 values
multiply x as two bf16 parts, ``2^-16`` more, and int8 and int4 values multiply x as a 16-bit
integer: ``2^-16 max |x| sum |w|`` more. Results repeat bit for bit at one level, for any number of
threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import compiled, kernels, twin_tiles
from neurosparse.errors import InputError

Array = NDArray[Any]
Floats = NDArray[np.float32]

# Below this density half a register of values is nearly always enough.
_NARROW = {"bf16": 0.32, "int8": 0.42, "int4": 0.42}
# Of what offsets count: of int4 bytes.
_ITEM = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "int4": 1}


class Tiles:
    """One matrix in tile order: with masks, or with every item stored (``masks`` None).

    Parameters
    ----------
    kind
        One of ``kernels.KINDS``.
    shape
        (rows, cols).
    masks : uint64 array of shape (groups, words), or None
    offsets : int64 array of shape (groups + 1,)
        Where the values of every group of 16 rows begin.
    values : array of one dimension
        As ``kernels`` carries the kind; 64 bytes more than there are items. int4 values stand two
        in a byte (``kernels.halve``), and ``offsets`` are bytes.
    scales : float32 array of shape (rows,), or None
        Of groups of columns: bfloat16 patterns, uint16 of shape (groups, groups of columns, 16).
    sums : int32 array of shape (rows,), or None
        Sums of the values of a row, for int8. With groups: float32, of values times scales.

    The arrays belong to the object: they must not change.
    """

    def __init__(self, kind: str, shape: tuple[int, int], masks: Array | None, offsets: Array,
                 values: Array, scales: Array | None = None, sums: Array | None = None) -> None:
        self.kind, self.shape = kind, shape
        self.masks, self.offsets, self.values = masks, offsets, values
        self.scales, self.sums = scales, sums
        rows, cols = shape
        density = (2 if kind == "int4" else 1) * int(offsets[-1]) / max(rows * cols, 1)
        self.compiled = compiled.compiled_tiles(
            kind, rows, cols, masks, offsets, values, scales, sums,
            density <= _NARROW.get(kind, 0.0), self.group)

    @property
    def group(self) -> int:
        """Columns that share a scale; 0 where a row does, or nothing has one."""
        if self.scales is None or self.scales.ndim != 3:
            return 0
        return kernels.group_of(self.shape[1], self.scales.shape[1])

    @classmethod
    def from_rows(cls, values: Array, kind: str, bitmap: Array, offsets: Array,
                  scales: Array | None, cols: int) -> Tiles:
        """From a matrix in row order, arrays as in ``kernels.expand_float``.

        Raises
        ------
        InputError
            The arrays do not fit each other, or an unknown kind.
        """
        order = _order(values, kind, bitmap, offsets, scales, cols)
        kernels.retile(*order)
        return cls._of_order(order, scales)

    @classmethod
    def all_from_rows(cls, matrices: Sequence[tuple[Array, str, Array, Array, Array | None, int]],
                      *, mapped: bool = False) -> list[Tiles | int]:
        """The same for several, all in one call that lets other threads of Python run.

        Parameters
        ----------
        matrices
            The arguments of ``from_rows``; their offsets are written.
        mapped
            As for ``compiled.retile_all``.

        Returns
        -------
        list
            Where a matrix does not fit itself a code for ``kernels.raise_on``.
        """
        orders = [_order(*matrix) for matrix in matrices]
        codes = compiled.retile_all(orders, mapped=mapped)
        return [code or cls._of_order(order, matrix[4])
                for code, order, matrix in zip(codes, orders, matrices, strict=True)]

    @classmethod
    def _of_order(cls, order: tuple[Any, ...], scales: Array | None) -> Tiles:
        _, kind, bitmap, _, cols, masks, starts, permuted, sums, grouped = order
        if kind == "int4":
            groups, words = masks.shape
            starts, permuted = kernels.halve(masks, groups, words, starts, permuted)
        if grouped is not None:
            scales = twin_tiles.tiled_scales(grouped)
        return cls(kind, (bitmap.shape[0], cols), masks, starts, permuted, scales, sums)

    @classmethod
    def from_dense(cls, weight: Array, kind: str, scales: Array | None = None) -> Tiles:
        """Every item stored, without masks; bits of ``kind`` in its carrier (``kernels``).

        Parameters
        ----------
        weight : array of shape (rows, cols)

        Raises
        ------
        InputError
            int4 values without scales of groups.
        """
        grouped = scales is not None and scales.ndim == 2
        _check_groups(kind, grouped)
        rows, cols = weight.shape
        groups, words = -(-rows // twin_tiles.ROWS), twin_tiles.words_of(cols)
        size = groups * words * 64
        values = np.empty(size + 64 // _ITEM[kind], weight.dtype)
        values[size:] = 0
        twin_tiles.tiled(weight, kind, values[:size].reshape(groups, words, 64))
        offsets = np.arange(groups + 1, dtype=np.int64) * words * 64
        sums = twin_tiles.row_sums(weight, scales if grouped else None) if _is_whole(kind) else None
        if kind == "int4":
            offsets, values = kernels.halve(None, groups, words, offsets, values)
        if scales is not None and grouped:
            scales = twin_tiles.tiled_scales(scales)
        return cls(kind, (rows, cols), None, offsets, values, scales, sums)

    @property
    def nbytes(self) -> int:
        """Bytes that a product reads."""
        items = int(self.offsets[-1]) * _ITEM[self.kind]
        return items + sum(a.nbytes for a in (self.masks, self.scales, self.sums) if a is not None)

    def to_dense(self) -> Array:
        """The matrix in the values' own type, array of shape (rows, cols)."""
        return twin_tiles.dense_of(self.values, self.kind, self.masks, self.offsets, *self.shape)

    def matvec(self, x: Floats, *, out: Floats | None = None) -> Floats:
        """``out[b, r] = sum_j W[r, j] x[b, j]``, within the bounds of the module's docstring.

        Parameters
        ----------
        x : float32 array of shape (batch, cols)
        out : float32 array of shape (batch, rows)
            Allocated if not given; must not overlap x.

        Raises
        ------
        InputError
            Arrays of another type or shape, or not contiguous.
        """
        rows, cols = self.shape
        kernels.check_array("multiply", "x", x, 2, np.float32, (x.shape[0] if x.ndim else 0, cols))
        if out is None:
            out = np.empty((x.shape[0], rows), np.float32)
        kernels.check_array("multiply", "out", out, 2, np.float32, (x.shape[0], rows))
        if self.compiled is None or kernels.level() == "twin":
            twin_tiles.matvec(self.values, self.kind, self.masks, self.offsets, self.scales,
                              rows, cols, x, out)
        else:
            kernels.raise_on(self.compiled.matvec(x, out), "multiply")
        return out

    def matvec_at(self, x: int, halves: bool, batch: int, out: int) -> bool:
        """The same by address, for callers that have checked; False where nothing is compiled.

        Parameters
        ----------
        x, out
            Addresses of contiguous (batch, cols) and (batch, rows), float32, or bfloat16 where
            ``halves``.
        """
        if self.compiled is None or kernels.level() == "twin":
            return False
        kernels.raise_on(self.compiled.matvec_at(x, halves, batch, out), "multiply")
        return True

    def matmul_at(self, x: int, halves: bool, batch: int, out: int) -> bool:
        """Many vectors by address; False where this level or kind has no such product.

        bf16 values, and int8 and int4 values taken as bf16: ``(cols + 16) 2^-23 + 2^-16`` of
        ``sum |w| |x|``, without the last where ``halves``.
        """
        if self.compiled is None or kernels.level() == "twin":
            return False
        code = self.compiled.matmul_at(x, halves, batch, out)
        if code is not None:
            kernels.raise_on(code, "multiply")
        return code is not None


def _order(values: Array, kind: str, bitmap: Array, offsets: Array, scales: Array | None, cols: int
           ) -> tuple[Any, ...]:
    """The arguments of ``kernels.retile``, with room for what it makes."""
    if kind not in kernels.KINDS:
        raise InputError("put into tile order", found=f"kind {kind!r}",
                         expected="one of " + ", ".join(kernels.KINDS))
    rows = bitmap.shape[0]
    grouped = scales is not None and scales.ndim == 2
    if scales is not None and not grouped:
        kernels.check_array("put into tile order", "scales", scales, 1, np.float32, (rows,))
    _check_groups(kind, grouped)
    groups = -(-rows // twin_tiles.ROWS)
    masks = np.empty((groups, twin_tiles.words_of(cols)), np.uint64)
    starts = np.empty(groups + 1, np.int64)
    permuted = np.empty(values.shape, values.dtype)
    sums = np.empty(rows, np.float32 if grouped else np.int32) if _is_whole(kind) else None
    return (values, kind, bitmap, offsets, cols, masks, starts, permuted, sums,
            scales if grouped else None)


def _is_whole(kind: str) -> bool:
    return kind in ("int8", "int4")


def _check_groups(kind: str, grouped: bool) -> None:
    if kind == "int4" and not grouped:
        raise InputError("put into tile order", found="int4 values without scales of groups",
                         expected="uint16 scales (rows, groups of columns)")
