"""Read ``sparse-bitmask`` checkpoints of compressed-tensors, whose own readers are gone.

What compressed-tensors up to 0.9 wrote (``sparse_bitmask.py``): for a weight ``<name>.weight`` the
tensors ``<name>.shape``, ``.compressed`` (the entries that are not zero, row after row),
``.bitmask`` (bits of a row least significant first, rows of whole bytes) and ``.row_offsets``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from neurosparse.errors import FormatError, InputError
from neurosparse.files import read_json
from neurosparse.models import find_targets, load_empty, load_tokenizer
from neurosparse.sparse.bitmask_tensors import FORMAT, PARTS, BitmaskReader, read_matrix
from neurosparse.sparse.headers import Entry, read_headers
from neurosparse.sparse.kinds import kind_of
from neurosparse.sparse.matrix import pack, packed_bytes
from neurosparse.sparse.writer import CheckpointWriter

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
        reader = BitmaskReader(source, entries)
        for name in names:
            dense, keep = read_matrix(reader, name, shapes.get(f"{name}.weight"))
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


def _pays(dense: torch.Tensor, keep: torch.Tensor, values: str) -> bool:
    if dense.ndim != 2:
        return False
    rows, cols = dense.shape
    return packed_bytes(rows, cols, int(torch.count_nonzero(keep)), values) < dense.nbytes


def _plain(config: Any) -> Any:
    """The configuration without what it says of the old format."""
    found = copy.deepcopy(config)
    for name in ("quantization_config", "compression_config", "sparsity_config"):
        if hasattr(found, name):
            delattr(found, name)
    return found
