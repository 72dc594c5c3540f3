"""The header of a GGUF file: enough to say what it is and whether it is whole.

transformers reads the weights; this reads the few facts that a user sees before that (the kind of
quantisation) and finds a cut file in milliseconds rather than in a traceback from inside.
"""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from neurosparse.errors import FormatError

_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of itself.

    Parameters
    ----------
    architecture
        ``general.architecture``.
    quantisation
        Name of the file type (``"Q4_1"``), or else of the commonest tensor type by bytes.
    tensors
        How many.
    """

    architecture: str
    quantisation: str
    tensors: int


class _Reader:
    def __init__(self, handle: BinaryIO, size: int) -> None:
        self.handle = handle
        self.size = size

    def scalar(self, code: str) -> int | float | bool:
        width = struct.calcsize(code)
        data = self.handle.read(width)
        if len(data) < width:
            raise EOFError
        value: int | float | bool = struct.unpack("<" + code, data)[0]
        return value

    def count(self) -> int:
        value = int(self.scalar("Q"))
        if value > self.size:
            raise EOFError
        return value

    def string(self) -> str:
        length = self.count()
        data = self.handle.read(length)
        if len(data) < length:
            raise EOFError
        return data.decode("utf-8", errors="replace")

    def value(self, kind: int) -> object:
        """One metadata value; an array is walked over and forgotten."""
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ValueError(f"metadata of unknown type {kind}")
        inner = int(self.scalar("I"))
        length = self.count()
        if inner in _SCALARS:
            self.handle.seek(length * struct.calcsize(_SCALARS[inner]), os.SEEK_CUR)
        else:
            for _ in range(length):
                self.value(inner)
        return None


def _tensor_bytes(shape: list[int], kind: int) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    block, nbytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    return math.prod(shape) // block * nbytes


def _parse(reader: _Reader) -> tuple[GgufHeader, int]:
    """The header, and the length that the file must at least have."""
    from gguf import GGMLQuantizationType, LlamaFileType

    if reader.handle.read(4) != b"GGUF":
        raise ValueError("no GGUF magic")
    version = int(reader.scalar("I"))
    if version not in (2, 3):
        raise ValueError(f"GGUF version {version}")
    n_tensors, n_values = reader.count(), reader.count()
    facts: dict[str, object] = {}
    for _ in range(n_values):
        key = reader.string()
        facts[key] = reader.value(int(reader.scalar("I")))
    end = 0
    by_kind: Counter[int] = Counter()
    for _ in range(n_tensors):
        reader.string()
        shape = [reader.count() for _ in range(int(reader.scalar("I")))]
        kind = int(reader.scalar("I"))
        offset = int(reader.scalar("Q"))
        nbytes = _tensor_bytes(shape, kind)
        by_kind[kind] += nbytes
        end = max(end, offset + nbytes)
    alignment = facts.get("general.alignment", 32)
    step = alignment if isinstance(alignment, int) and alignment > 0 else 32
    start = math.ceil(reader.handle.tell() / step) * step
    file_type = facts.get("general.file_type")
    if isinstance(file_type, int) and file_type in list(LlamaFileType):
        quantisation = LlamaFileType(file_type).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    elif by_kind:
        quantisation = GGMLQuantizationType(by_kind.most_common(1)[0][0]).name
    else:
        quantisation = "without tensors"
    header = GgufHeader(str(facts.get("general.architecture", "")), quantisation, n_tensors)
    return header, start + end


def read_gguf_header(path: Path) -> GgufHeader:
    """Read and check the header of a GGUF file.

    Raises
    ------
    FormatError
        Not a GGUF file, of an unknown version, cut short, or damaged.
    """
    size = os.path.getsize(path)
    again = "The file is cut short or damaged: download or copy it again."
    try:
        with open(path, "rb") as handle:
            header, needed = _parse(_Reader(handle, size))
    except EOFError as error:
        raise FormatError(
            f"read {path}", found=f"a file of {size} bytes that ends inside its header",
            expected="a whole GGUF file", mend=again,
        ) from error
    except (ValueError, KeyError) as error:
        raise FormatError(
            f"read {path}", found=str(error), expected="a GGUF file of version 2 or 3", mend=again
        ) from error
    if size < needed:
        raise FormatError(
            f"read {path}", found=f"a file of {size} bytes",
            expected=f"the {needed} bytes that its header promises", mend=again,
        )
    return header
