"""What a CUDA card has: the numbers by which kernels divide their work."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch

# Of a multiprocessor's shared memory, for every block.
_SYSTEM = 1 << 10
# Where torch does not say: what every card since Volta has.
_LEAST = 96 << 10
# bf16 is rounded by an instruction of Ampere's.
_OLDEST = (8, 0)


class Card(NamedTuple):
    """One card.

    processors
        Multiprocessors.
    shared
        Bytes of shared memory that the blocks of one can have together.
    """

    processors: int
    shared: int

    def room(self, blocks: int) -> int:
        """Bytes for each of so many blocks on a multiprocessor."""
        return self.shared // blocks - _SYSTEM


@functools.cache
def card_of(device: torch.device) -> Card | None:
    """None where the kernels do not run: no card, or one before Ampere."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability(device) < _OLDEST:
        return None
    known = torch.cuda.get_device_properties(device)
    shared = getattr(known, "shared_memory_per_block_optin", _LEAST) + _SYSTEM
    return Card(known.multi_processor_count, shared)
