"""A masked product of low rank in one pass over a tile: ``W + s M o (B A)`` and its gradient.

The mask is a bitmap (``kernels``), bfloat16 travels as uint16. All levels and the twin give the
same bits: an entry's terms are added in the same order everywhere, and nothing depends on threads.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import kernels, twin
from neurosparse.errors import InputError

with contextlib.suppress(ImportError):  # without it the twin does everything
    from neurosparse import _core

__all__ = ["low_rank_add", "low_rank_grad"]

Array = NDArray[Any]
Floats = NDArray[np.float32]
_ADD, _GRAD = "add a masked product", "masked product's gradient"
_LANES, _STRIP, _TERMS = 16, 128, 4  # of ext/kernels/low_rank.c: the order of its sums


def low_rank_add(a: Floats, b: Floats, bitmap: NDArray[np.uint8], scale: float, *,
                 base: Array | None = None, out: Array | None = None) -> Array:
    """``base + scale * M o (b a)``, summed in float32 and rounded once.

    Parameters
    ----------
    a : float32 array of shape (rank, cols)
    b : float32 array of shape (rows, rank)
    bitmap : uint8 array of shape (rows, 8 * ceil(cols / 64))
        M; what it leaves out stays as it is in ``base``, even where A or B is not finite.
    scale
        Rounded to float32.
    base, out : arrays of shape (rows, cols), float32, or uint16 holding bfloat16
        No base: zeros. ``out`` is float32 if not given; it may be ``base`` itself.

    Returns
    -------
    ``out``

    Raises
    ------
    InputError
        Arrays that do not fit each other, or a base that overlaps ``out`` without being it.
    """
    if out is None:
        out = np.empty((b.shape[0], a.shape[-1]), np.float32)
    if base is not None and np.may_share_memory(base, out) and not _same(base, out):
        raise InputError(_ADD, found="base and out that overlap", expected="one array, or two")
    if kernels.level() != "twin":
        code = _core.low_rank_add(a, b, bitmap, scale, base, out)
        if not code:
            return out
    _check(_ADD, a, b, bitmap)
    for name, tile in (("base", base), ("out", out)):
        if tile is not None:
            kind = np.uint16 if tile.dtype == np.uint16 else np.float32
            kernels.check_array(_ADD, name, tile, 2, kind, (b.shape[0], a.shape[1]))
    if kernels.level() != "twin":
        kernels.raise_on(code, _ADD)
    _twin_add(a, b, bitmap, scale, base, out)
    return out


def low_rank_grad(product: Floats, a: Floats, b: Floats, bitmap: NDArray[np.uint8], scale: float,
                  *, grad_a: Floats, grad_b: Floats) -> None:
    """Gradients of B and A from that of the weight, whose masked form is never written.

    With P the gradient of ``W + scale * M o (b a)``: ``grad_b = scale (M o P) a^T``, and
    ``scale b^T (M o P)`` is added to ``grad_a``.

    Parameters
    ----------
    product : float32 array of shape (rows, cols)
        P.
    a, b, bitmap, scale
        As in ``low_rank_add``.
    grad_a : float32 array of shape (rank, cols)
        Added to.
    grad_b : float32 array of shape (rows, rank)
        Overwritten.

    Raises
    ------
    InputError
        Arrays that do not fit each other.
    """
    if kernels.level() != "twin":
        code = _core.low_rank_grad(product, a, b, bitmap, scale, grad_a, grad_b)
        if not code:
            return
    _check(_GRAD, a, b, bitmap)
    for name, array, shape in (("product", product, (b.shape[0], a.shape[1])),
                               ("grad_a", grad_a, a.shape), ("grad_b", grad_b, b.shape)):
        kernels.check_array(_GRAD, name, array, 2, np.float32, shape)
    if kernels.level() != "twin":
        kernels.raise_on(code, _GRAD)
    _twin_grad(product, a, b, bitmap, scale, grad_a, grad_b)


def _same(one: Array, other: Array) -> bool:
    return (one.ctypes.data == other.ctypes.data and one.dtype == other.dtype
            and one.shape == other.shape and one.strides == other.strides)


def _check(operation: str, a: Array, b: Array, bitmap: Array) -> None:
    kernels.check_array(operation, "a", a, 2, np.float32)
    kernels.check_array(operation, "b", b, 2, np.float32, (b.shape[0], a.shape[0]))
    shape = (b.shape[0], 8 * -(-a.shape[1] // 64))
    kernels.check_array(operation, "bitmap", bitmap, 2, np.uint8, shape)


def _mask(bitmap: NDArray[np.uint8], cols: int) -> NDArray[np.bool_]:
    bits = np.empty((len(bitmap), cols), np.uint8)
    twin.unpack_mask(bitmap, bits)
    return bits.view(np.bool_)


def _twin_add(a: Floats, b: Floats, bitmap: NDArray[np.uint8], scale: float, base: Array | None,
              out: Array) -> None:
    terms = (b * np.float32(scale)).T[:, :, None] * a[:, None, :]
    rank, whole = len(a), len(a) // _TERMS * _TERMS
    total = np.zeros(out.shape, np.float32)
    for k in range(0, whole, _TERMS):
        total += (terms[k] + terms[k + 1]) + (terms[k + 2] + terms[k + 3])
    for k in range(whole, rank):
        total += terms[k]
    total[~_mask(bitmap, a.shape[1])] = 0
    if base is not None:
        total += twin.to_float(base, "bf16" if base.dtype == np.uint16 else "fp32")
    out[:] = _to_halves(total) if out.dtype == np.uint16 else total


def _to_halves(total: Floats) -> NDArray[np.uint16]:
    bits = total.view(np.uint32)
    near = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(total), bits >> np.uint32(16) | np.uint32(64), near).astype(np.uint16)


def _twin_grad(product: Floats, a: Floats, b: Floats, bitmap: NDArray[np.uint8], scale: float,
               grad_a: Floats, grad_b: Floats) -> None:
    rows, cols = product.shape
    masked = np.zeros((rows + -rows % 4, cols), np.float32)
    masked[:rows] = np.where(_mask(bitmap, cols), product, np.float32(0))
    scaled = np.zeros((len(masked), len(a)), np.float32)
    scaled[:rows] = b * np.float32(scale)
    for k in range(len(a)):
        for r in range(0, rows, 4):
            p = masked[r : r + 4] * scaled[r : r + 4, k, None]
            grad_a[k] += (p[0] + p[1]) + (p[2] + p[3])
        total = np.zeros(rows, np.float32)
        for first in range(0, cols, _STRIP):
            total += _dots(masked[:rows, first : first + _STRIP], a[k, first : first + _STRIP])
        grad_b[:, k] = total * np.float32(scale)


def _dots(rows: Floats, one: Floats) -> Floats:
    """A dot product with every row, summed as the compiled code sums."""
    lanes = np.zeros((len(rows), _LANES), np.float32)
    for j in range(0, rows.shape[1], _LANES):
        part = rows[:, j : j + _LANES] * one[j : j + _LANES]
        lanes[:, : part.shape[1]] += part
    half = _LANES // 2
    while half:
        lanes = lanes[:, :half] + lanes[:, half : 2 * half]
        half //= 2
    found: Floats = lanes[:, 0]
    return found
