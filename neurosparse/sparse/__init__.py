"""Store pruned models packed (a bitmap and its values) and run them so."""

from neurosparse.sparse.bitmask import convert_bitmask, is_bitmask
from neurosparse.sparse.decoder import Decoder
from neurosparse.sparse.description import is_packed
from neurosparse.sparse.experts import SparseExperts
from neurosparse.sparse.kinds import VALUES
from neurosparse.sparse.linear import SparseLinear
from neurosparse.sparse.loading import load, register
from neurosparse.sparse.matrix import PackedMatrix, pack, packed_bytes, unpack
from neurosparse.sparse.saving import save
from neurosparse.sparse.writer import CheckpointWriter

__all__ = [
    "VALUES",
    "CheckpointWriter",
    "Decoder",
    "PackedMatrix",
    "SparseExperts",
    "SparseLinear",
    "convert_bitmask",
    "is_bitmask",
    "is_packed",
    "load",
    "pack",
    "packed_bytes",
    "register",
    "save",
    "unpack",
]
