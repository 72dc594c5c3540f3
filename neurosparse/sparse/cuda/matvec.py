"""CUDA kernel: rows of gaps and values times 1 to 16 vectors.

At 70 % an entry of bf16 takes 2.5 bytes, so a weight takes 0.75 instead of 2: a ceiling of 2.65
over dense. x lies in shared memory, a column's vectors side by side, so that an entry is one load
from there; it lies there in spans (``gap_matvec.cu``), since lanes that ask for columns at random
wait for one another nearly twice as long as lanes that ask in turn.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch

from neurosparse.sparse.cuda.card import Card, card_of
from neurosparse.sparse.cuda.compile import HERE, Kernel, kernel
from neurosparse.sparse.cuda.groups import VALUES, XS, pointers
from neurosparse.sparse.gaps import Gaps

SOURCE = HERE / "gap_matvec.cu"
# Shared memory is read a line of so many bytes at a time.
_LINE = 128
# From this density on lanes, eight entries apart, are nearer to 16 columns than to 32.
_DENSE = 0.36


class Shape(NamedTuple):
    """How the work is divided.

    threads
        A block.
    blocks
        On one multiprocessor at a time.
    depth
        Steps that a warp has asked for ahead.
    chunks
        Of 32 groups in a step, 1 or 2: two share a scan and take more registers.
    """

    threads: int
    blocks: int
    depth: int
    chunks: int


# By the number of vectors; what was quickest of a dozen on an H100 (benchmarks/gpu/README.md).
SHAPES = {1: Shape(1024, 1, 1, 2), 2: Shape(1024, 1, 1, 2), 4: Shape(1024, 1, 1, 2),
          8: Shape(640, 1, 1, 2)}


class Layout(NamedTuple):
    """How x lies in shared memory.

    log_span
        Binary logarithm of the columns that lie in one bank.
    stride
        Bytes from a column to the next.
    log_stride
        Binary logarithm of the items in them, where that is a whole number.
    """

    log_span: int
    stride: int
    log_stride: int | None

    @property
    def nbytes(self) -> int:
        """In all."""
        return self.stride << self.log_span


def bytes_of_x(count: int, dtype: torch.dtype) -> int:
    """Shared memory that a column of x takes: one vector is kept as float32."""
    return 4 if count == 1 else count * dtype.itemsize


def layout(gaps: Gaps, count: int, dtype: torch.dtype, room: int) -> Layout | None:
    """The quickest that fits into ``room`` bytes."""
    each = bytes_of_x(count, dtype)
    log_span = 4 if gaps.density > _DENSE else 5
    spans = -(-gaps.cols // (1 << log_span))
    spans = -(-spans * each // _LINE) * _LINE // each
    power = (spans - 1).bit_length()
    for stride, log_stride in ((each << power, power), (each * spans, None)):
        found = Layout(log_span, stride, log_stride)
        if found.nbytes <= room:
            return found
    return None


def shape_of(count: int, rows: int, card: Card) -> Shape:
    """For a matrix of so many rows: a warp has whole rows, so that many should end together."""
    found = SHAPES[count]
    if count > 1:
        return found

    def busy(threads: int) -> float:
        warps = card.processors * threads // 32
        return rows / (-(-rows // warps) * warps)

    return found._replace(threads=max(range(found.threads, 767, -32), key=busy))


class Plan(NamedTuple):
    """How a matrix is multiplied with up to ``at_once`` vectors at a time."""

    at_once: int
    shape: Shape
    where: Layout
    kernel: Kernel
    blocks: int


def defines(values: torch.dtype, x: torch.dtype, count: int, shape: Shape, where: Layout
            ) -> dict[str, int]:
    """What is set when the kernel is compiled."""
    found = {"VALUES": VALUES[values], "X": XS[x], "COUNT": count, "LOG_SPAN": where.log_span,
             "THREADS": shape.threads, "PER_SM": shape.blocks, "DEPTH": shape.depth,
             "CHUNKS": shape.chunks}
    return found if where.log_stride is None else {**found, "LOG_STRIDE": where.log_stride}


def plan(gaps: Gaps, count: int, dtype: torch.dtype, card: Card, device: torch.device
         ) -> Plan | None:
    """For ``count`` vectors, or for less at a time; None where not even one fits."""
    at_once = 1 << min(count - 1, 7).bit_length()
    while at_once:
        shape = shape_of(at_once, len(gaps.offsets) - 1, card)
        where = layout(gaps, at_once, dtype, card.room(shape.blocks))
        if where is not None:
            made = kernel(SOURCE, "gap_matvec", device, card.room(shape.blocks),
                          **defines(gaps.values.dtype, dtype, at_once, shape, where))
            return Plan(at_once, shape, where, made, card.processors * shape.blocks)
        at_once //= 2
    return None


def arguments(gaps: Gaps, scales: torch.Tensor | None, first: int, last: int, where: Layout
              ) -> dict[str, Any]:
    """Of the kernel, as ctypes values in its order; ``point`` sets what is others every time."""
    numbers = {"rows": last - first, "cols": gaps.cols, "count": 0, "stride": where.stride,
               "aligned": 0}
    return {"out": ctypes.c_void_p(), "x": ctypes.c_void_p(), **pointers(gaps, scales, first),
            **{name: ctypes.c_int32(value) for name, value in numbers.items()}}


def point(arguments: dict[str, Any], out: int, x: int, count: int, width: int) -> None:
    """Where x and the result are, and how many rows; ``width``: bytes of a row of x."""
    arguments["out"].value, arguments["x"].value = out, x
    arguments["count"].value, arguments["aligned"].value = count, (width | x) % 16 == 0


class MatVec:
    """``x @ W[first:last].T`` for ``count`` rows of x, prepared.

    Parameters
    ----------
    gaps
        The matrix, or more of which it is a part.
    scales : float32 tensor of shape (rows,), optional
    count, dtype
        Rows and dtype of x: bfloat16, float16 or float32.
    """

    def __init__(self, gaps: Gaps, scales: torch.Tensor | None, first: int, last: int, count: int,
                 dtype: torch.dtype, chosen: Plan) -> None:
        self._kept = gaps, scales  # whose memory the arguments point to
        self._rows, self._many, self._at_once = last - first, count, chosen.at_once
        self._width, self._each = gaps.cols * dtype.itemsize, dtype.itemsize
        self._arguments = arguments(gaps, scales, first, last, chosen.where)
        self._launch = chosen.kernel.prepare(chosen.blocks, chosen.shape.threads,
                                             chosen.where.nbytes, list(self._arguments.values()))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Without waiting for the device.

        Parameters
        ----------
        x : tensor of shape (count, cols)
            Of any strides, on the device of the gaps.

        Returns
        -------
        tensor of shape (count, last - first), x.dtype
            Products are exact and sums float32: before it is rounded to x's dtype an entry is off
            by at most ``(cols + 16) eps sum_c |x_c w_c|`` with float32's eps.
        """
        left = x if x.is_contiguous() else x.contiguous()
        out = x.new_empty((self._many, self._rows))
        to, of = out.data_ptr(), left.data_ptr()
        with self._launch.lock:
            for begin in range(0, self._many, self._at_once):
                point(self._arguments, to + begin * self._rows * self._each,
                      of + begin * self._width, min(self._at_once, self._many - begin), self._width)
                self._launch()
        return out


def prepared(gaps: Gaps, scales: torch.Tensor | None, first: int, last: int, count: int,
             dtype: torch.dtype) -> MatVec | None:
    """None on a card that is too old, or where x does not fit into its shared memory."""
    device = gaps.values.device
    card = card_of(device)
    chosen = card and plan(gaps, count, dtype, card, device)
    return chosen and MatVec(gaps, scales, first, last, count, dtype, chosen)
