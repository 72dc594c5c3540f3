"""Safetensors files read tensor by tensor, without a memory map of the whole shard.

The file layout is public and small: eight bytes little-endian header length, a JSON header of
``name -> {dtype, shape, data_offsets}``, then the bytes. Reading it here has two reasons: a cut or
damaged file gets one clear error before any model is built, and a tensor costs exactly its own
memory (torch maps a shard privately, and that counts in full against ``RLIMIT_DATA``).
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurosparse.errors import FormatError

DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies: file, dtype name as in the header, shape, first byte, bytes."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int

    def read(self) -> Tensor:
        """The tensor, in memory of its own.

        Raises
        ------
        FormatError
            The dtype is not one that torch has, or the file has been cut since it was checked.
        """
        dtype = DTYPES.get(self.dtype)
        if dtype is None:
            raise FormatError(
                f"read {self.path}", found=f"dtype {self.dtype}", expected=", ".join(DTYPES)
            )
        raw = torch.empty(self.nbytes, dtype=torch.uint8)
        with open(self.path, "rb", buffering=0) as handle:
            handle.seek(self.start)
            view = memoryview(raw.numpy())  # type: ignore[arg-type]
            done = 0
            while done < self.nbytes:
                count = handle.readinto(view[done:])
                if not count:
                    raise _cut(self.path, self.start + done, self.start + self.nbytes)
                done += count
        return raw.view(dtype).reshape(self.shape)

    def __getitem__(self, index: Any) -> Tensor:
        """``stored[...]`` reads the tensor: the form in which transformers asks for one."""
        return self.read()[index]


def _cut(path: Path, found: int, expected: int) -> FormatError:
    return FormatError(
        f"read {path}",
        found=f"a file of {found} bytes",
        expected=f"the {expected} bytes that its header promises",
        mend="The file is cut short or damaged: download or copy it again.",
    )


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of one safetensors file, by name; the file's length is checked.

    Raises
    ------
    FormatError
        The file is truncated, has bytes left over, or its header is not a safetensors header.
    """
    size = os.path.getsize(path)
    operation = f"read {path}"
    with open(path, "rb") as handle:
        first = handle.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > _LARGEST_HEADER:
            raise FormatError(
                operation, found="no safetensors header", expected="a safetensors file",
                mend="The file is cut short or damaged: download or copy it again.",
            )
        if 8 + length > size:
            raise _cut(path, size, 8 + length)
        text = handle.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        tensors = {
            name: StoredTensor(
                path=path,
                dtype=entry["dtype"],
                shape=tuple(int(extent) for extent in entry["shape"]),
                start=8 + length + int(entry["data_offsets"][0]),
                nbytes=int(entry["data_offsets"][1]) - int(entry["data_offsets"][0]),
            )
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise FormatError(
            operation, found=f"a damaged header ({error})", expected="a safetensors header",
            mend="The file is damaged: download or copy it again.",
        ) from error
    for name, stored in tensors.items():
        kind = DTYPES.get(stored.dtype)
        needed = math.prod(stored.shape) * (kind.itemsize if kind is not None else 0)
        if kind is not None and stored.nbytes != needed:
            raise FormatError(
                operation,
                found=f"{stored.nbytes} bytes for {name}",
                expected=f"{needed} ({stored.dtype} {stored.shape})",
                mend="The file is damaged: download or copy it again.",
            )
    end = max((stored.start + stored.nbytes for stored in tensors.values()), default=8 + length)
    if end != size:
        raise _cut(path, size, end)
    return tensors


def shard_paths(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: those of the index, or the one file, or all.

    Raises
    ------
    FormatError
        There are none, or the index names a file that is not there.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            mapping = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            names = sorted(set(mapping.values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise FormatError(
                f"read {index}", found=str(error), expected='JSON with a "weight_map"'
            ) from error
        # An index that names a path outside the folder would let a download read any file.
        paths = [folder / Path(str(name)).name for name in names]
    elif (folder / "model.safetensors").is_file():
        paths = [folder / "model.safetensors"]
    else:
        paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        raise FormatError(
            f"load {folder}",
            found="weights in pickle files only" if pickled else "no *.safetensors",
            expected="weights in safetensors files",
            mend="Pickle files can run code and are never read: convert them to safetensors."
            if pickled else "",
        )
    for path in paths:
        if not path.is_file():
            raise FormatError(
                f"load {folder}", found=f"no file {path.name}", expected="every file of the index"
            )
    return paths


def read_headers(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a model folder by name (see :func:`read_header` for the errors)."""
    tensors: dict[str, StoredTensor] = {}
    for path in shard_paths(folder):
        tensors.update(read_header(path))
    return tensors
