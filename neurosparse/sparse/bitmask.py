"""Read ``sparse-bitmask`` checkpoints of compressed-tensors, whose own readers are gone.

What compressed-tensors up to 0.9 wrote (``sparse_bitmask.py``): for a weight ``<name>.weight`` the
tensors ``<name>.shape``, ``.compressed`` (the entries that are not zero, row after row),
``.bitmask`` (bits of a row least significant first, rows of whole bytes) and ``.row_offsets``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from neurosparse.errors import FormatError, InputError
from neurosparse.files import read_json
from neurosparse.models import find_targets, load_empty, load_tokenizer
from neurosparse.sparse.headers import Entry, read_headers
from neurosparse.sparse.kinds import kind_of
from neurosparse.sparse.matrix import pack, packed_bytes
from neurosparse.sparse.writer import CheckpointWriter

FORMAT = "sparse-bitmask"
PARTS = ("shape", "compressed", "bitmask", "row_offsets")
_PLAIN = {"quant_method", "version", "sparsity_config", "quantization_status"}


def is_bitmask(folder: str | Path) -> bool:
    """Whether a folder says that it holds a ``sparse-bitmask`` checkpoint."""
    try:
        return _sparsity(read_json(Path(folder) / "config.json")).get("format") == FORMAT
    except (FormatError, OSError, ValueError):
        return False


def convert_bitmask(folder: str | Path, out: str | Path, *, max_shard_bytes: float = 5e9
                    ) -> dict[str, int]:
    """Write a ``sparse-bitmask`` checkpoint again as a packed folder, matrix by matrix.

    One dense matrix is in memory at a time. Linears of the decoder blocks whose bitmap and values
    take less room than the dense matrix are packed, their entries bit for bit; everything else is
    stored dense, in its own dtype.

    Parameters
    ----------
    folder
        With ``config.json`` and safetensors files.
    out
        New or empty folder, or a packed model to replace.
    max_shard_bytes
        Begin a new file before one would hold more.

    Returns
    -------
    dict
        Bytes, as ``CheckpointWriter.close`` gives them.

    Raises
    ------
    FormatError
        Another format, quantisation on top of it, values of several dtypes, or tensors that do not
        fit each other or the configuration.
    InputError
        No such folder, or NaN or Inf in a packed entry.
    StorageError
        The disk is full or the folder cannot be written.
    """
    source = Path(folder)
    _check_config(source)
    model: Any = load_empty(source)
    files = sorted(source.glob("*.safetensors"))
    entries = read_headers(files)
    names = sorted(name.removesuffix(".bitmask") for name in entries if name.endswith(".bitmask"))
    values = _kind(entries, names)
    turned = {t.name: t.transposed for t in find_targets(model) if t.expert is None}
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    done: set[str] = set()
    with CheckpointWriter(
        out, config=_plain(model.config), tokenizer=load_tokenizer(source), values=values,
        generation_config=getattr(model, "generation_config", None),
        max_shard_bytes=max_shard_bytes,
    ) as writer:
        reader = _Reader(source, entries)
        for name in names:
            dense, keep = _matrix(reader, name, shapes.get(f"{name}.weight"))
            if _pays(dense, keep, values) and name in turned:
                flip = turned[name]
                writer.add_packed(name, pack(dense.T if flip else dense,
                                             mask=keep.T if flip else keep, values=values))
                done.add(name)
            else:
                writer.add(f"{name}.weight", dense, keep_dtype=True)
        parts = {f"{name}.{part}" for name in names for part in PARTS}
        for name in sorted(set(entries) - parts):
            writer.add(name, reader.tensor(name), keep_dtype=True)
        return writer.close(complete=done == set(turned) and len(turned) == len(
            find_targets(model)))


def _sparsity(config: Any) -> dict[str, Any]:
    """The ``sparsity_config``, which has lain in three places."""
    if not isinstance(config, dict):
        return {}
    for owner in (config.get("quantization_config"), config.get("compression_config"), config):
        found = owner.get("sparsity_config") if isinstance(owner, dict) else None
        if isinstance(found, dict):
            return found
    return {}


def _check_config(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"read {folder}", found="no such folder", expected=FORMAT)
    config = read_json(folder / "config.json")
    found = _sparsity(config).get("format")
    if found != FORMAT:
        raise FormatError(f"read {folder}", found=f"sparsity format {found!r}",
                          expected=repr(FORMAT))
    for place in ("quantization_config", "compression_config"):
        more = set(config.get(place) or {}) - _PLAIN if isinstance(config.get(place), dict) else ()
        if more:
            raise FormatError(f"read {folder}", found=f"{place} with {sorted(more)[0]!r}",
                              expected="sparsity without quantisation")


def _kind(entries: Mapping[str, Entry], names: list[str]) -> str:
    """The one kind of all values."""
    dtypes = set()
    for name in names:
        for part in PARTS:
            if f"{name}.{part}" not in entries:
                raise FormatError("read sparse-bitmask", found=f"no {name}.{part}",
                                  expected=", ".join(PARTS))
        dtypes.add(entries[f"{name}.compressed"].dtype)
    floats = [dtype for dtype in dtypes if dtype.is_floating_point and dtype != torch.float64]
    if len(dtypes) != 1 or not floats:
        raise FormatError("read sparse-bitmask", found=f"values of {sorted(map(str, dtypes))}",
                          expected="all bfloat16, all float16 or all float32")
    return kind_of(torch.empty(0, dtype=floats[0])).name


class _Reader:
    """Tensors of some files, one at a time."""

    def __init__(self, folder: Path, entries: Mapping[str, Entry]) -> None:
        self._folder, self._entries = folder, entries

    def tensor(self, name: str) -> torch.Tensor:
        try:
            with safe_open(self._entries[name].file, framework="pt") as file:
                found: torch.Tensor = file.get_tensor(name)  # type: ignore[no-untyped-call]
                return found
        except (SafetensorError, ValueError, KeyError) as error:
            raise FormatError(f"read {self._folder}", found=f"{name}: {error}",
                              expected="safetensors", mend="Copy it again.") from error

    def parts(self, name: str) -> Iterator[torch.Tensor]:
        """In the order of ``PARTS``."""
        return (self.tensor(f"{name}.{part}") for part in PARTS)


def _matrix(reader: _Reader, name: str, wanted: tuple[int, ...] | None
            ) -> tuple[torch.Tensor, torch.Tensor]:
    """A dense tensor and its mask, after all parts were found to fit."""
    shape, values, bitmask, offsets = reader.parts(name)
    whole = shape.dtype == torch.int64 and shape.ndim == 1 and 1 <= len(shape) <= 2
    size = tuple(shape.tolist()) if whole else ()
    if not whole or size != wanted:
        raise _wrong(name, f"shape {size}", f"{wanted}, as config.json says")
    rows, cols = math.prod(size[:-1]), size[-1]
    if bitmask.dtype != torch.uint8 or bitmask.shape != (*size[:-1], -(-cols // 8)):
        raise _wrong(name, f"a {bitmask.dtype} bitmask {tuple(bitmask.shape)}",
                     f"uint8 {(*size[:-1], -(-cols // 8))}")
    bits = np.unpackbits(bitmask.reshape(rows, -1).numpy(), axis=1, bitorder="little")
    counts = bits.sum(1, dtype=np.int64)
    if bits[:, cols:].any() or values.ndim != 1 or len(values) != int(counts.sum()):
        raise _wrong(name, f"{int(counts.sum())} bits and {tuple(values.shape)} values",
                     f"as many, and no bit after column {cols}")
    starts = torch.from_numpy(np.cumsum(counts) - counts).reshape(size[:-1])
    if not torch.equal(offsets, starts):
        raise _wrong(name, "row_offsets that are not the sum of the bits", "their running sum")
    keep = torch.from_numpy(bits[:, :cols].astype(bool)).reshape(size)
    dense = torch.zeros(size, dtype=values.dtype)
    dense[keep] = values
    return dense, keep


def _pays(dense: torch.Tensor, keep: torch.Tensor, values: str) -> bool:
    return dense.ndim == 2 and packed_bytes(
        *dense.shape, int(torch.count_nonzero(keep)), values) < dense.nbytes


def _wrong(name: str, found: str, expected: str) -> FormatError:
    return FormatError(f"read {name} of a {FORMAT} checkpoint", found=found, expected=expected,
                       mend="The file was changed, or config.json is of another model.")


def _plain(config: Any) -> Any:
    """The configuration without what it says of the old format."""
    found = copy.deepcopy(config)
    for name in ("quantization_config", "compression_config", "sparsity_config"):
        if hasattr(found, name):
            delattr(found, name)
    return found
