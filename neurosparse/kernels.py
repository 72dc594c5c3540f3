"""The numerical kernels: NumPy arrays in, NumPy arrays out.

A sparse matrix [rows, cols] is a *bitmap* and its *values*.

* Bitmap ("row order", version 1): uint8 [rows, 8 * ceil(cols / 64)]; bit j of a row is byte
  j // 8, bit j % 8; bits at and beyond ``cols`` are zero.
* Values: one dimension, row-major order of the set bits, then zeros up to ``padded_length``, so
  that vector loads may read over the end. bf16 and fp16 travel as uint16 bit patterns. int4 values
  are int8 in [-8, 7] here; files hold two in a byte (``widen``, ``narrow``).
* Scales: float32 [rows], or bfloat16 patterns [rows, ceil(cols / group)] for groups of columns.

All arrays are C-contiguous. Each function runs compiled code of one instruction level (``level``,
``using``, environment variable ``NEUROSPARSE_CPU_LEVEL``) or its plain NumPy twin. Pack, unpack
and expand agree bit for bit at all levels. Products are in ``tiles.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import twin, twin_tiles
from neurosparse._version import __version__
from neurosparse.check_array import check_array
from neurosparse.errors import InputError
from neurosparse.layout import bitmap_bytes, padded_length
from neurosparse.value_groups import GROUPS, group_of

try:
    from neurosparse import _core

    _BUILT = True
except ImportError:  # the twin does everything
    _BUILT = False

__all__ = [
    "GROUPS",
    "KINDS",
    "build_config",
    "check_array",
    "expand",
    "expand_float",
    "expand_half",
    "group_of",
    "level",
    "levels",
    "narrow",
    "pack_mask",
    "pack_values",
    "padded_length",
    "row_offsets",
    "set_threads",
    "threads",
    "unpack_mask",
    "using",
    "widen",
]

Array = NDArray[Any]
Bitmap = NDArray[np.uint8]
Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]

KINDS = ("fp32", "bf16", "fp16", "int8", "int4")
"""Kinds of values; the order is that of ``enum ns_kind`` in ext/kernels/kernels.h."""

_CARRIERS = {"fp32": np.float32, "bf16": np.uint16, "fp16": np.uint16, "int8": np.int8,
             "int4": np.int8}
_KIND_OF_SIZE = {4: "fp32", 2: "bf16", 1: "int8"}  # moving bits: only the size matters
_KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}

_twin_only = not _BUILT


# --- levels and threads -----------------------------------------------------------------------


def level() -> str:
    """Name of the instruction level in use, ``"twin"`` for NumPy."""
    return "twin" if _twin_only else _core.level()


def levels() -> tuple[str, ...]:
    """Levels that this CPU and build have, from least to most, ``"twin"`` first."""
    return ("twin", *_core.levels()) if _BUILT else ("twin",)


def _select(name: str) -> None:
    global _twin_only
    if name not in levels():
        raise InputError(
            "choose an instruction level", found=repr(name),
            expected="one that this CPU has: " + ", ".join(levels()),
            mend="Unset NEUROSPARSE_CPU_LEVEL to take the best.",
        )  # fmt: skip
    if name != "twin":
        _core.select(name)
    _twin_only = name == "twin"


@contextmanager
def using(name: str) -> Iterator[None]:
    """Force a level for the whole process while the body runs.

    Raises
    ------
    InputError
        No such level, or the CPU lacks it.
    """
    before = level()
    _select(name)
    try:
        yield
    finally:
        _select(before)


def threads() -> int:
    """Threads that share a call, the caller included."""
    return _core.threads() if _BUILT else 1


def set_threads(n: int) -> None:
    """Set the number of threads that share a call.

    Raises
    ------
    InputError
        ``n`` is not between 1 and 256.
    """
    if not 1 <= n <= 256:
        raise InputError("set the number of threads", found=f"n = {n}", expected="1 to 256")
    if _BUILT:
        _core.set_threads(n)


def build_config() -> dict[str, str]:
    """Versions, compiler, flags and levels of this build; the first thing to print in a report."""
    if not _BUILT:
        return {"version": __version__, "levels": "twin", "compiler": "none"}
    return dict(line.split("=", 1) for line in _core.build_info().splitlines())


# --- bitmap and values ------------------------------------------------------------------------


def narrow(values: Array, nnz: int) -> NDArray[np.uint8]:
    """int4 values as files hold them: two in a byte, the lower half first, then zeros.

    Parameters
    ----------
    values
        int8 in [-8, 7], at least ``nnz``.

    Returns
    -------
    uint8, ``padded_length(ceil(nnz / 2), 1)`` items

    Raises
    ------
    InputError
        Another type, too few values, or one out of range.
    """
    operation = "store int4 values"
    check_array(operation, "values", values, 1, np.int8)
    kept = values[:nnz]
    if not 0 <= nnz <= values.shape[0] or (nnz and (kept.min() < -8 or kept.max() > 7)):
        raise InputError(operation, found=f"{values.shape[0]} values, {nnz} wanted",
                         expected="as many, in [-8, 7]")
    stored = np.zeros(padded_length(-(-nnz // 2), 1), np.uint8)
    twin.narrow(kept, stored)
    return stored


def widen(stored: Array, first: int, last: int) -> NDArray[np.int8]:
    """int4 values ``first:last`` of a file, int8, padded as values are.

    Raises
    ------
    InputError
        Another type, or fewer values than that.
    """
    operation = "read int4 values"
    check_array(operation, "values", stored, 1, np.uint8)
    if not 0 <= first <= last <= 2 * stored.shape[0]:
        raise InputError(operation, found=f"values {first}:{last} of {2 * stored.shape[0]}",
                         expected="values that are there")
    out = np.zeros(padded_length(last - first, 1), np.int8)
    if _twin_only:
        twin.widen(stored, first, last, out)
    else:
        raise_on(_core.widen(stored, first, last, out), operation)
    return out


def pack_mask(mask: Array) -> Bitmap:
    """Bits of a mask.

    Parameters
    ----------
    mask
        bool or uint8 [rows, cols]; nonzero means kept.

    Returns
    -------
    uint8 [rows, 8 * ceil(cols / 64)]

    Raises
    ------
    InputError
        Wrong type or shape, or not contiguous.
    """
    if mask.dtype == np.bool_:
        mask = mask.view(np.uint8)
    check_array("pack a mask", "mask", mask, 2, np.uint8)
    bitmap = np.empty((mask.shape[0], bitmap_bytes(mask.shape[1])), np.uint8)
    if _twin_only:
        twin.pack_mask(mask, bitmap)
    else:
        raise_on(_core.pack_mask(mask, bitmap), "pack a mask")
    return bitmap


def unpack_mask(bitmap: Bitmap, cols: int) -> NDArray[np.bool_]:
    """Mask [rows, cols] of a bitmap.

    Raises
    ------
    InputError
        The bitmap is not one of ``cols`` columns.
    """
    _check_bitmap("unpack a mask", bitmap, cols)
    mask = np.empty((bitmap.shape[0], cols), np.uint8)
    if _twin_only:
        twin.unpack_mask(bitmap, mask)
    else:
        raise_on(_core.unpack_mask(bitmap, mask), "unpack a mask")
    return mask.view(np.bool_)


def row_offsets(bitmap: Bitmap) -> Offsets:
    """Where each row's values start: int64 [rows + 1], cumulative counts of set bits.

    Raises
    ------
    InputError
        Not a bitmap.
    """
    check_array("count a bitmap's rows", "bitmap", bitmap, 2, np.uint8)
    if bitmap.shape[1] % 8:
        raise InputError(
            "count a bitmap's rows", found=f"rows of {bitmap.shape[1]} bytes",
            expected="whole 64-bit words",
        )  # fmt: skip
    offsets = np.empty(bitmap.shape[0] + 1, np.int64)
    if _twin_only:
        twin.row_offsets(bitmap, offsets)
    else:
        raise_on(_core.row_offsets(bitmap, offsets), "count a bitmap's rows")
    return offsets


def pack_values(weight: Array, bitmap: Bitmap) -> Array:
    """Gather the weights under the mask, padded.

    Parameters
    ----------
    weight
        [rows, cols] of 1, 2 or 4 bytes an item; bits are moved, never converted.
    bitmap
        Its bitmap.

    Returns
    -------
    Same type, one dimension, ``padded_length(nnz, itemsize)`` items.

    Raises
    ------
    InputError
        The arrays do not fit each other, or the bitmap has bits beyond the columns.
    """
    operation = "pack values"
    kind = _kind_of(operation, "weight", weight)
    carrier = weight.view(_CARRIERS[kind]) if weight.ndim == 2 else weight
    check_array(operation, "weight", carrier, 2, _CARRIERS[kind])
    _check_bitmap(operation, bitmap, weight.shape[1], weight.shape[0])
    offsets = row_offsets(bitmap)
    nnz = int(offsets[-1])
    values = np.empty(padded_length(nnz, weight.itemsize), carrier.dtype)
    if _twin_only:
        _check_pad_bits(operation, bitmap, weight.shape[1])
        twin.pack_values(carrier, bitmap, offsets, values)
    elif code := _core.pack_values(carrier, _KIND_NUMBER[kind], bitmap, offsets, values):
        _check_pad_bits(operation, bitmap, weight.shape[1])
        raise_on(code, operation)
    return values.view(weight.dtype)


def expand(
    values: Array, bitmap: Bitmap, offsets: Offsets, cols: int, first: int, last: int,
    *, out: Array | None = None,
) -> Array:  # fmt: skip
    """Dense rows ``first:last``, in the values' own type.

    Parameters
    ----------
    values, bitmap, offsets
        The matrix; ``offsets`` from ``row_offsets(bitmap)``.
    cols, first, last
        Its columns; the rows wanted.
    out
        [last - first, cols] of the values' type; allocated if not given.

    Returns
    -------
    ``out``

    Raises
    ------
    InputError
        The arrays do not fit each other.
    """
    operation = "expand"
    kind = _kind_of(operation, "values", values)
    if out is None:
        out = np.empty((max(last - first, 0), cols), values.dtype)
    carrier, to = values.view(_CARRIERS[kind]), out.view(_CARRIERS[kind])
    if _twin_only:
        _check_matrix(operation, carrier, kind, bitmap, offsets, None, cols)
        _check_rows(operation, bitmap, first, last)
        check_array(operation, "out", to, 2, _CARRIERS[kind], (last - first, cols))
        twin.expand(carrier, bitmap, offsets, first, last, to)
        return out
    code = _core.expand(carrier, _KIND_NUMBER[kind], bitmap, offsets, cols, first, last, to)
    if code:
        _check_matrix(operation, carrier, kind, bitmap, offsets, None, cols)
        _check_rows(operation, bitmap, first, last)
        check_array(operation, "out", to, 2, _CARRIERS[kind], (last - first, cols))
        raise_on(code, operation)
    return out


def expand_float(
    values: Array, kind: str, bitmap: Bitmap, offsets: Offsets, scales: Array | None, cols: int,
    first: int, last: int, *, out: Floats | None = None,
) -> Floats:  # fmt: skip
    """Dense rows ``first:last`` in float32, times their scales where there are any.

    Parameters
    ----------
    values, kind, bitmap, offsets
        The matrix; ``kind`` is one of ``KINDS``.
    scales
        float32 [rows] for int8 (any kind takes them), uint16 [rows, groups] for int8 and int4, or
        None.
    cols, first, last
        Its columns; the rows wanted.
    out
        float32 [last - first, cols]; allocated if not given.

    Returns
    -------
    ``out``

    Raises
    ------
    InputError
        The arrays do not fit each other, or an unknown kind.
    """
    operation = "expand to float32"
    if out is None:
        out = np.empty((max(last - first, 0), cols), np.float32)
    if not _twin_only:
        number = _KIND_NUMBER.get(kind, -1)
        group = _group("expand to float32", scales, cols)
        code = _core.expand_float(values, number, bitmap, offsets, scales, cols, group, first, last,
                                  out)  # fmt: skip
        if not code:
            return out
    _check_matrix(operation, values, kind, bitmap, offsets, scales, cols)
    _check_rows(operation, bitmap, first, last)
    check_array(operation, "out", out, 2, np.float32, (last - first, cols))
    if not _twin_only:
        raise_on(code, operation)
    twin.expand_float(values, kind, bitmap, offsets, scales, first, last, out)
    return out


def expand_half(
    values: Array, kind: str, bitmap: Bitmap, offsets: Offsets, scales: Array | None, cols: int,
    first: int, last: int,
) -> NDArray[np.uint16]:  # fmt: skip
    """Dense rows ``first:last`` as bfloat16 patterns: ``expand_float`` rounded to nearest even.

    Parameters
    ----------
    values, kind, bitmap, offsets, scales, cols, first, last
        As in ``expand_float``.

    Returns
    -------
    uint16 [last - first, cols]

    Raises
    ------
    InputError
        As ``expand_float``.
    """
    operation = "expand to bfloat16"
    out = np.empty((max(last - first, 0), cols), np.uint16)
    if not _twin_only:
        code = _core.expand_half(values, _KIND_NUMBER.get(kind, -1), bitmap, offsets, scales, cols,
                                 _group(operation, scales, cols), first, last, out)  # fmt: skip
        if not code:
            return out
    _check_matrix(operation, values, kind, bitmap, offsets, scales, cols)
    _check_rows(operation, bitmap, first, last)
    if not _twin_only:
        raise_on(code, operation)
    floats = np.empty(out.shape, np.float32)
    twin.expand_float(values, kind, bitmap, offsets, scales, first, last, floats)
    return twin.to_half(floats)


# --- tile order: neurosparse/tiles.py -----------------------------------------------------------


def retile(
    values: Array, kind: str, bitmap: Bitmap, offsets: Offsets, cols: int, masks: Array,
    tile_offsets: Offsets, tile_values: Array, sums: Array | None, scales: Array | None = None,
) -> None:  # fmt: skip
    """From row order to the arrays of ``tiles.Tiles``, which are filled.

    ``sums`` are int32, or where ``scales`` of groups are given float32 and times those. int4 values
    are bytes afterwards; ``halve`` comes next.

    Raises
    ------
    InputError
        The arrays do not fit each other.
    """
    operation = "put into tile order"
    if not _twin_only:
        code = _core.retile(values, _KIND_NUMBER[kind], bitmap, offsets, cols, masks, tile_offsets,
                            tile_values, sums, scales, _group(operation, scales, cols))
        if not code:
            return
    _check_matrix(operation, values, kind, bitmap, offsets, scales, cols)
    if not _twin_only:
        raise_on(code, operation)
    twin_tiles.retile(values, kind, bitmap, offsets, cols, masks, tile_offsets, tile_values, sums,
                      scales)  # fmt: skip


def halve(masks: Array | None, groups: int, words: int, offsets: Offsets, values: Array
          ) -> tuple[Offsets, Array]:  # fmt: skip
    """int4 values in tile order from bytes to halves of bytes.

    Parameters
    ----------
    masks, offsets, values
        As ``retile`` leaves them; masks None where every item is stored.

    Returns
    -------
    offsets : int64 [groups + 1], in bytes
    values : int8, 64 bytes more than that

    Raises
    ------
    InputError
        The arrays do not fit each other.
    """
    if _twin_only:
        return twin_tiles.halve(masks, groups, words, values)
    halved, operation = np.empty(groups + 1, np.int64), "halve int4 values"
    raise_on(_core.halved_offsets(masks, groups, words, halved), operation)
    out = np.empty(int(halved[-1]) + 64, np.int8)
    raise_on(_core.halve(masks, groups, words, offsets, values, halved, out), operation)
    return halved, out


# --- what is wrong with an argument: the twin asks always, compiled code only when it refuses ---


def _check_bitmap(operation: str, bitmap: Bitmap, cols: int, rows: int | None = None) -> None:
    if cols < 0:
        raise InputError(operation, found=f"cols = {cols}", expected="0 or more")
    check_array(operation, "bitmap", bitmap, 2, np.uint8)
    shape = (bitmap.shape[0] if rows is None else rows, bitmap_bytes(cols))
    check_array(operation, "bitmap", bitmap, 2, np.uint8, shape)


def _check_pad_bits(operation: str, bitmap: Bitmap, cols: int) -> None:
    last = bitmap[:, -8:].copy().view(np.uint64)[:, 0] if cols % 64 else np.zeros(0, np.uint64)
    if np.any(last >> np.uint64(cols % 64)):
        raise InputError(
            operation, found="a bitmap with bits beyond the last column",
            expected=f"only {cols} columns",
        )  # fmt: skip


def _check_matrix(
    operation: str, values: Array, kind: str, bitmap: Bitmap, offsets: Offsets,
    scales: Array | None, cols: int,
) -> None:  # fmt: skip
    if kind not in KINDS:
        raise InputError(operation, found=f"kind {kind!r}", expected="one of " + ", ".join(KINDS))
    check_array(operation, f"{kind} values", values, 1, _CARRIERS[kind])
    _check_bitmap(operation, bitmap, cols)
    _check_pad_bits(operation, bitmap, cols)
    rows = bitmap.shape[0]
    check_array(operation, "offsets", offsets, 1, np.int64, (rows + 1,))
    if scales is not None and _group(operation, scales, cols):
        check_array(operation, "scales", scales, 2, np.uint16, (rows, scales.shape[1]))
        if kind not in ("int8", "int4"):
            raise InputError(operation, found=f"{kind} values with scales of groups",
                             expected="int8 or int4 values")
    elif scales is not None:
        check_array(operation, "scales", scales, 1, np.float32, (rows,))
    if not np.array_equal(offsets, row_offsets(bitmap)):
        raise InputError(
            operation, found="offsets of another bitmap", expected="row_offsets(bitmap)"
        )
    least = int(offsets[-1]) + 64 // values.itemsize
    if values.shape[0] < least:
        raise InputError(
            operation, found=f"{values.shape[0]} values",
            expected=f"at least {least} with the padding",
            mend="Allocate padded_length(nnz, itemsize).",
        )  # fmt: skip


def _group(operation: str, scales: Array | None, cols: int) -> int:
    """Columns that share one of the scales; 0 where a row does, or there are none."""
    if scales is None or scales.ndim != 2:
        return 0
    check_array(operation, "scales", scales, 2, np.uint16)
    return group_of(cols, scales.shape[1])


def _check_rows(operation: str, bitmap: Bitmap, first: int, last: int) -> None:
    if not 0 <= first <= last <= bitmap.shape[0]:
        found = f"rows {first}:{last}"
        raise InputError(operation, found=found, expected=f"rows within 0:{bitmap.shape[0]}")


def _kind_of(operation: str, name: str, a: Array) -> str:
    if a.itemsize not in _KIND_OF_SIZE:
        found = f"{name} of type {a.dtype.name}"
        raise InputError(operation, found=found, expected="items of 1, 2 or 4 bytes")
    return _KIND_OF_SIZE[a.itemsize]


def raise_on(code: int, operation: str) -> None:
    """Turn a code of the compiled core into an error.

    Raises
    ------
    InputError
        The code is not 0.
    """
    if code:
        raise InputError(operation, found=_core.strerror(code), expected="arguments that fit")


# --- at load ----------------------------------------------------------------------------------


def _start() -> None:
    wanted = os.environ.get("NEUROSPARSE_CPU_LEVEL")
    _select(wanted or levels()[-1])
    asked = os.environ.get("NEUROSPARSE_THREADS")
    if asked:
        if not asked.isdigit():
            raise InputError("read NEUROSPARSE_THREADS", found=repr(asked), expected="a number")
        set_threads(int(asked))
    elif hasattr(os, "sched_getaffinity"):
        set_threads(min(len(os.sched_getaffinity(0)), 256))


_start()
