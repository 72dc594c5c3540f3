"""Give back memory that only mirrors a file."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import torch

_DONTNEED = 4


def file_ranges(paths: list[str]) -> list[tuple[int, int]]:
    """Addresses at which this process has some files mapped; none where that cannot be known."""
    if not sys.platform.startswith("linux"):
        return []
    wanted = {str(Path(path).resolve()) for path in paths}
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5] in wanted:
            low, high = (int(part, 16) for part in parts[0].split("-"))
            found.append((low, high))
    return found


def forget(tensor: torch.Tensor, ranges: list[tuple[int, int]]) -> None:
    """Let go of the whole pages of a tensor that lies in a mapped file.

    They are read again from the file if anybody asks. Only for tensors that nobody has changed
    since the file was mapped: changes would be lost.
    """
    begin = tensor.data_ptr()
    end = begin + tensor.nbytes
    if not any(low <= begin and end <= high for low, high in ranges):
        return
    size = mmap.PAGESIZE
    first, last = -(-begin // size) * size, end // size * size
    if first < last:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _DONTNEED)
