"""Write safetensors shards tensor by tensor, never holding more than one tensor."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from neurosparse.errors import InputError
from neurosparse.sparse.headers import NAMES, encode_header

ALIGNMENT = 64
_CHUNK = 1 << 24


def file_order(name: str, dtype: torch.dtype) -> tuple[int, int]:
    """Values first, bitmaps next, then by falling item size: all lie aligned (format.md)."""
    rank = 0 if name.endswith(".values") else 1 if name.endswith(".bitmap") else 2
    return rank, -dtype.itemsize


@dataclass(frozen=True)
class _Item:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    size: int
    place: int

    def order(self) -> tuple[int, int]:
        """As ``file_order``."""
        return file_order(self.name, self.dtype)


class ShardWriter:
    """Tensors in, ``model*.safetensors`` and their index out.

    Tensors are first spooled to one file in the order in which they come; a full shard is then
    written in the order of the format, and hashed on the way.

    Parameters
    ----------
    folder
        Where the files go.
    max_bytes
        Begin a new shard before one would hold more bytes than this; one tensor may be larger.
    """

    def __init__(self, folder: Path, *, max_bytes: float = 5e9) -> None:
        if not max_bytes > 0:
            raise InputError("save", found=f"max_shard_bytes={max_bytes}", expected="above 0")
        self.folder, self.max_bytes = folder, max_bytes
        self.names: set[str] = set()
        self.total = 0
        self._shards: list[tuple[Path, str, list[str]]] = []
        self._items: list[_Item] = []
        self._place = 0
        self._spool = folder / ".spool"
        self._handle = self._spool.open("wb")

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Spool one tensor.

        Raises
        ------
        InputError
            The name is there already, or safetensors has no such dtype.
        """
        if name in self.names:
            raise InputError("save", found=f"{name} twice", expected="every tensor once")
        if tensor.dtype not in NAMES:
            raise InputError("save", found=f"{name} of {tensor.dtype}",
                             expected=f"one of {', '.join(sorted(NAMES.values()))}")
        data = tensor.detach().to("cpu").contiguous()
        if self._items and self._place + data.nbytes > self.max_bytes:
            self._finish_shard()
        self._handle.write(data.reshape(-1).view(torch.uint8).numpy().data)
        self._items.append(_Item(name, data.dtype, tuple(data.shape), data.nbytes,
                                 self._place))
        self._place += data.nbytes
        self.names.add(name)
        self.total += data.nbytes

    def finish(self) -> tuple[dict[str, str], dict[str, str]]:
        """Write the last shard and give the files their names.

        Returns
        -------
        sha256 : dict from file name to hash
        weight_map : dict from tensor name to file name
        """
        if self._items or not self._shards:
            self._finish_shard()
        self.discard()
        hashes: dict[str, str] = {}
        weight_map: dict[str, str] = {}
        count = len(self._shards)
        for index, (path, digest, names) in enumerate(self._shards):
            final = ("model.safetensors" if count == 1
                     else f"model-{index + 1:05d}-of-{count:05d}.safetensors")
            os.replace(path, self.folder / final)
            hashes[final] = digest
            weight_map |= dict.fromkeys(names, final)
        return hashes, weight_map

    def discard(self) -> None:
        """Close and remove the spool."""
        self._handle.close()
        self._spool.unlink(missing_ok=True)

    def _finish_shard(self) -> None:
        self._handle.close()
        items = sorted(self._items, key=_Item.order)
        path = self.folder / f".shard-{len(self._shards):05d}"
        digest = hashlib.sha256()
        with open(path, "wb") as out, open(self._spool, "rb") as spool:
            head = encode_header([(item.name, NAMES[item.dtype], item.shape, item.size)
                                  for item in items], ALIGNMENT)
            digest.update(head)
            out.write(head)
            for item in items:
                _copy(spool.fileno(), item.place, item.size, out, digest)
        self._shards.append((path, digest.hexdigest(), [item.name for item in items]))
        self._items, self._place = [], 0
        self._handle = self._spool.open("wb")


def _copy(source: int, place: int, size: int, out: BinaryIO, digest: hashlib._Hash) -> None:
    while size:
        part = os.pread(source, min(size, _CHUNK), place)
        if not part:
            raise OSError(f"the spool ended {size} bytes early")
        digest.update(part)
        out.write(part)
        place, size = place + len(part), size - len(part)
