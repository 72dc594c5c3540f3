"""What of the compiled core is more than one operation: tiles, several at once, a decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosparse import kernels
from neurosparse.errors import InputError

try:
    from neurosparse import _core

    BUILT = True
except ImportError:  # the twin does everything
    BUILT = False

Array = NDArray[Any]
Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]


def retile_all(orders: Sequence[tuple[Any, ...]], *, mapped: bool = False) -> list[int]:
    """``kernels.retile`` of several matrices in one call, which does not hold the interpreter.

    Parameters
    ----------
    orders
        The arguments of ``kernels.retile`` each, without defaults. ``offsets`` are written first:
        they are ``row_offsets(bitmap)``.
    mapped
        Bitmaps and values are those of a privately mapped file, unchanged: the pages of each go
        back to it as soon as it was put into order. Of other memory the content would be lost.

    Returns
    -------
    list of int
        A code for each, for ``kernels.raise_on``; what has another than 0 was not put into order.

    Raises
    ------
    InputError
        By the twin, at the first matrix whose arrays do not fit each other.
    """
    if kernels.level() == "twin":
        for order in orders:
            order[3][:] = kernels.row_offsets(order[2])
            kernels.retile(*order)
        return [0] * len(orders)
    return _core.retile_all([
        (values, kernels.KINDS.index(kind), *rest, scales,
         0 if scales is None else kernels.group_of(rest[2], scales.shape[1]))
        for values, kind, *rest, scales in orders], mapped)


@contextmanager
def working_alone() -> Iterator[None]:
    """What this thread calls inside the block runs in it and wakes no other of the pool."""
    if not BUILT:
        yield
        return
    _core.work_alone(True)
    try:
        yield
    finally:
        _core.work_alone(False)


def compiled_tiles(
    kind: str, rows: int, cols: int, masks: Array | None, offsets: Offsets, values: Array,
    scales: Array | None, sums: Array | None, sparse_loads: bool, group: int = 0,
) -> Any:  # fmt: skip
    """The compiled side of ``tiles.Tiles``, or None where nothing is built.

    Raises
    ------
    InputError
        The arrays do not fit each other.
    """
    if not BUILT:
        return None
    try:
        return _core.Tiles(kernels.KINDS.index(kind), rows, cols, masks, offsets, values, scales,
                           sums, group, sparse_loads)  # fmt: skip
    except ValueError as error:
        raise InputError("hold tiles", found=str(error), expected="arrays that fit") from None


def compiled_decoder(sizes: dict[str, Any], layers: list[dict[str, Any]], head: Any,
                     last_norm: Floats) -> Any:  # fmt: skip
    """The compiled side of ``sparse.Decoder``; values of ``layers`` are ``Tiles`` and arrays.

    Raises
    ------
    InputError
        Nothing is built, or sizes do not fit each other.
    """
    if not BUILT:
        raise InputError("decode token by token", found="no compiled core",
                         expected="neurosparse with its extension")  # fmt: skip
    plain = [{name: getattr(value, "compiled", value) for name, value in layer.items()}
             for layer in layers]  # fmt: skip
    try:
        return _core.Decoder(sizes, plain, head.compiled, last_norm)
    except ValueError as error:
        raise InputError("decode token by token", found=str(error),
                         expected="parts that fit each other") from None  # fmt: skip
