"""Headers and hashes of safetensors files, read without their data."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurosparse.errors import FormatError
from neurosparse.files import sha256

DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "U16": torch.uint16, "I32": torch.int32, "U32": torch.uint32, "I64": torch.int64,
    "U64": torch.uint64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32,
    "F64": torch.float64,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
_MOST_HEADER = 100_000_000


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: dtype, shape, the file, and at which of its bytes it begins."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    file: Path
    begin: int


def read_headers(files: Iterable[str | Path]) -> dict[str, Entry]:
    """Every tensor of some safetensors files.

    Raises
    ------
    FormatError
        A file that is truncated or is not safetensors, or a tensor that is there twice.
    """
    entries: dict[str, Entry] = {}
    for file in map(Path, files):
        for name, entry in _read_header(file).items():
            if name in entries:
                raise FormatError(f"read {file}", found=f"{name}, also in {entries[name].file}",
                                  expected="every tensor once")
            entries[name] = entry
    return entries


def check_hashes(files: Iterable[str | Path], expected: dict[str, str],
                 digest: Callable[[Path], str] = sha256) -> None:
    """Compare files with the hashes of a configuration.

    Parameters
    ----------
    files
        Paths.
    expected
        Hex SHA-256 by file name.
    digest
        What computes it.

    Raises
    ------
    FormatError
        A file has other bytes than those that were written, or is not named.
    """
    for file in map(Path, files):
        known = expected.get(file.name)
        if known is None:
            raise FormatError(f"read {file}", found="no hash of this file in config.json",
                              expected=f"one of {sorted(expected)}")
        found = digest(file)
        if found != known:
            raise FormatError(f"read {file}", found=f"SHA-256 {found[:16]}...",
                              expected=f"{known[:16]}...",
                              mend="The file was cut or changed: copy it again.")


def _read_header(file: Path) -> dict[str, Entry]:
    size = file.stat().st_size
    with open(file, "rb") as handle:
        start = handle.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, _MOST_HEADER):
            raise FormatError(f"read {file}", found=f"{size} bytes, cut within the header",
                              expected="a whole safetensors file", mend="Copy it again.")
        text = handle.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        spans = {name: tuple(map(int, item["data_offsets"])) for name, item in header.items()}
        entries = {name: Entry(DTYPES[item["dtype"]], tuple(map(int, item["shape"])), file,
                               8 + length + spans[name][0]) for name, item in header.items()}
        end = max((stop for _, stop in spans.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise FormatError(f"read {file}", found=f"a header that cannot be read ({error!r})",
                          expected="safetensors") from error
    if size != 8 + length + end:
        raise FormatError(f"read {file}", found=f"{size} bytes",
                          expected=f"{8 + length + end}, as its header says",
                          mend="The file was cut: copy it again.")
    _check_spans(file, entries, spans)
    return entries


def _check_spans(file: Path, entries: dict[str, Entry], spans: dict[str, tuple[int, ...]]) -> None:
    """Every tensor takes as many bytes as it has, and they follow each other without gaps."""
    place = 0
    for name, (begin, stop) in sorted(spans.items(), key=lambda item: item[1]):
        entry = entries[name]
        size = math.prod(entry.shape) * entry.dtype.itemsize
        if begin != place or stop - begin != size or min(entry.shape, default=0) < 0:
            raise FormatError(
                f"read {file}", found=f"{name} of shape {entry.shape} at bytes {begin} to {stop}",
                expected=f"{size} bytes from {place}, as the others' in its header say",
                mend="The header was changed: copy the file again.")
        place = stop


def encode_header(tensors: list[tuple[str, str, tuple[int, ...], int]], alignment: int) -> bytes:
    """Header of a safetensors file, with spaces after it so that the data begin aligned.

    Parameters
    ----------
    tensors
        Name, dtype name, shape and bytes of every tensor in the order of the data.
    alignment
        The data begin at a multiple of it.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, dtype, shape, size in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, begin + size]}
        begin += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % alignment)
    return struct.pack("<Q", len(text)) + text
