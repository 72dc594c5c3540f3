"""What instruction levels have in common."""

from __future__ import annotations


def in_parts(level: str) -> bool:
    """Whether 16-bit and whole-number values meet x in parts there (``neurosparse.tiles``)."""
    return level in ("avx512vbmi2", "amx")
