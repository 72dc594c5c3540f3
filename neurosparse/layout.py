"""Lengths that the format fixes; they need no kernel."""

from __future__ import annotations


def padded_length(nnz: int, itemsize: int) -> int:
    """Items to allocate for ``nnz`` values: whole 64-byte lines and one line more."""
    return (-(-nnz * itemsize // 64) * 64 + 64) // itemsize


def bitmap_bytes(cols: int) -> int:
    """Bytes of one bitmap row: whole 64-bit words."""
    return -(-cols // 64) * 8
