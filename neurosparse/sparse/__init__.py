"""Store pruned models packed (a bitmap and its values) and run them so."""

from neurosparse.sparse.bitmask import convert_bitmask, is_bitmask
from neurosparse.sparse.decoder import Decoder
from neurosparse.sparse.description import is_packed
from neurosparse.sparse.experts import SparseExperts
from neurosparse.sparse.graph_loop import GraphLoop
from neurosparse.sparse.kinds import VALUES
from neurosparse.sparse.linear import SparseLinear
from neurosparse.sparse.loading import load, register
from neurosparse.sparse.loops import Loop, TorchLoop, find_loop
from neurosparse.sparse.matrix import PackedMatrix, pack, packed_bytes, unpack
from neurosparse.sparse.on_gpu import Backend, backend
from neurosparse.sparse.saving import save
from neurosparse.sparse.semi_structured import is_two_to_four, to_semi_structured
from neurosparse.sparse.training import train_values
from neurosparse.sparse.uneven import is_uneven
from neurosparse.sparse.uneven_saving import export_even, save_uneven
from neurosparse.sparse.writer import CheckpointWriter

__all__ = [
    "VALUES",
    "Backend",
    "CheckpointWriter",
    "Decoder",
    "GraphLoop",
    "Loop",
    "PackedMatrix",
    "SparseExperts",
    "SparseLinear",
    "TorchLoop",
    "backend",
    "convert_bitmask",
    "export_even",
    "find_loop",
    "is_bitmask",
    "is_packed",
    "is_two_to_four",
    "is_uneven",
    "load",
    "pack",
    "packed_bytes",
    "register",
    "save",
    "save_uneven",
    "to_semi_structured",
    "train_values",
    "unpack",
]
