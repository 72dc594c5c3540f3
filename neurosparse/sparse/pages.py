"""Give back memory that only mirrors a file."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path
from threading import Lock

import torch

_DONTNEED = 4
# Bytes that wait to be let go of together; bytes between tensors that nobody has.
_BATCH, _NEAR = 16 << 20, 64


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


class Forgetting:
    """Let go of pages that only mirror files, some megabytes at a time; from several threads.

    They are read again from the file if anybody asks. Only for tensors that nobody has changed
    since the file was mapped: changes would be lost.

    Parameters
    ----------
    paths
        Files that this process has mapped. Tensors that lie elsewhere are left alone.
    """

    def __init__(self, paths: list[str]) -> None:
        self._ranges = file_ranges(paths)
        self._spans: list[tuple[int, int]] = []
        self._waiting = 0
        self._lock = Lock()

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether all of a tensor is in one of the files."""
        begin = tensor.data_ptr()
        end = begin + tensor.nbytes
        return any(low <= begin and end <= high for low, high in self._ranges)

    def add(self, tensor: torch.Tensor) -> None:
        """The pages of a tensor are needed no more."""
        if not self.knows(tensor):
            return
        begin, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        with self._lock:
            self._spans.append((begin, end))
            self._waiting += end - begin
            if self._waiting >= _BATCH:
                self._flush()

    def flush(self) -> None:
        """Let go of what was added, in as few calls as there are pieces."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        size = mmap.PAGESIZE
        pieces: list[tuple[int, int]] = []
        for begin, end in sorted(self._spans):
            # Tensors that follow each other share pages: together they are whole.
            if pieces and begin - pieces[-1][1] < _NEAR:
                pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]))
            else:
                pieces.append((begin, end))
        self._spans, self._waiting = [], 0
        if not pieces:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        for begin, end in pieces:
            first, last = -(-begin // size) * size, end // size * size
            if first < last:
                libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _DONTNEED)
