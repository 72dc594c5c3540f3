"""A kernel with its arguments, launched again and again.

The driver is called by ctypes: its Python bindings build every launch anew, in twenty microseconds
and more, and a product of one token takes seven.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from typing import Any

import torch


class CudaError(RuntimeError):
    """A call of the driver or of the compiler failed."""


class _Value(ctypes.Union):
    _fields_ = [("pad", ctypes.c_char * 64), ("number", ctypes.c_int)]


class _Attribute(ctypes.Structure):
    """``CUlaunchAttribute`` of the driver."""

    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("value", _Value)]


class _Config(ctypes.Structure):
    """``CUlaunchConfig`` of the driver."""

    _fields_ = [("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3),
                ("shared", ctypes.c_uint), ("stream", ctypes.c_void_p),
                ("attributes", ctypes.POINTER(_Attribute)), ("count", ctypes.c_uint)]


_OVERLAP = 6  # CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION


class Launch:
    """A kernel with its arguments: every token passes here once a linear, so little is done.

    Parameters
    ----------
    function, device
        Of the driver, and the card that it is loaded on.
    blocks, threads, shared
        Blocks of the grid, threads and bytes of shared memory of each.
    arguments
        ctypes values, in the order of the function's parameters.
    overlap
        Whether it may begin before the kernel ahead of it has ended.

    Attributes
    ----------
    lock
        To be held from the change of an argument to the launch.
    """

    def __init__(self, function: int, device: torch.device, blocks: int, threads: int, shared: int,
                 arguments: Sequence[Any], *, overlap: bool) -> None:
        self._kept = list(arguments)
        places = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        attribute = _Attribute(_OVERLAP, b"", _Value(number=1))
        self._config = _Config((blocks, 1, 1), (threads, 1, 1), shared, None,
                               ctypes.pointer(attribute), int(overlap))
        self._call = _driver().cuLaunchKernelEx
        self._arguments = ctypes.byref(self._config), ctypes.c_void_p(function), places, None
        self._index = torch.cuda.current_device() if device.index is None else device.index
        self.lock = threading.Lock()

    def __call__(self) -> None:
        """On the device's current stream, without waiting."""
        if torch.cuda.current_device() != self._index:
            with torch.cuda.device(self._index):
                self()
            return
        self._config.stream = torch.cuda.current_stream(self._index).cuda_stream
        status = self._call(*self._arguments)
        if status:
            raise CudaError(f"launch: the driver says {status}")


@functools.cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")
