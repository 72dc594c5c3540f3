"""Put packed modules into a model's skeleton, with the shapes that the files have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from neurosparse.errors import FormatError
from neurosparse.layout import bitmap_bytes
from neurosparse.models import find_targets
from neurosparse.models.linears import is_conv1d
from neurosparse.sparse.experts import PARTS, SparseExperts, is_fused_experts
from neurosparse.sparse.headers import Entry
from neurosparse.sparse.kinds import find_kind
from neurosparse.sparse.linear import SparseLinear
from neurosparse.sparse.matrix import PackedMatrix
from neurosparse.sparse.rows import PackedRows


def linear_names(model: nn.Module) -> list[str]:
    """The matrices of a model's blocks, by the names that they have packed."""
    return list(dict.fromkeys(f"{target.module_name}.{target.parameter}".removesuffix(".weight")
                              for target in find_targets(model)))


def packed_names(entries: Mapping[str, Entry]) -> list[str]:
    """Names of the packed matrices of some files."""
    return sorted(name.removesuffix(".bitmap") for name in entries if name.endswith(".bitmap"))


def install(model: Any, entries: Mapping[str, Entry], values: str, group: int | None = None,
            read: Callable[[str], torch.Tensor] | None = None) -> list[PackedRows]:
    """Replace the modules that the files hold packed.

    Parameters
    ----------
    model
        Model of transformers on the meta device; changed in place.
    entries
        Tensors of the files.
    values
        Kind of values that the configuration promises.
    group
        Columns that share a scale, as it promises.

    read
        Gives a tensor of the files by its name, on the CPU; the offsets of linears are then not
        counted yet (``ordering``). By default the new buffers are on the meta device.

    Returns
    -------
    list
        The new modules that hold packed rows.

    Raises
    ------
    FormatError
        A packed matrix that has no place in the model, or other shapes or dtypes than the format
        says.
    """
    parts: dict[str, dict[str, PackedMatrix]] = {}
    made: list[PackedRows] = []
    names = {name for name, _ in model.named_modules()}
    names |= {name for name, _ in model.named_parameters()}
    prefix = f"{model.base_model_prefix}."
    for stored in packed_names(entries):
        name = _locate(names, stored, prefix)
        path, _, part = name.rpartition(".")
        module = model.get_submodule(path)
        if part in PARTS and is_fused_experts(module):
            weight = module.get_parameter(part)
            shape = (weight.shape[0] * weight.shape[1], weight.shape[2])
            parts.setdefault(path, {})[part] = _matrix(
                entries, stored, shape, values, group, read)
            continue
        linear = model.get_submodule(name)
        rows, cols, turned = _linear_shape(linear)
        packed = _matrix(entries, stored, (rows, cols), values, group, read)
        bias = linear._parameters.get("bias")
        made.append(SparseLinear(packed, bias, transposed=turned, counted=read is None))
        _replace(model, name, made[-1])
    for path, found in parts.items():
        if set(found) != set(PARTS):
            raise FormatError("load", found=f"{path} with {sorted(found)} packed",
                              expected=f"both of {PARTS}")
        experts = SparseExperts.in_place_of(model.get_submodule(path), **found)
        _replace(model, path, experts)
        made += packed_modules(experts)
    return made


def packed_modules(model: nn.Module) -> list[PackedRows]:
    """All modules of a model that hold packed rows."""
    return [module for module in model.modules() if isinstance(module, PackedRows)]


def _locate(names: set[str], stored: str, prefix: str) -> str:
    """A model and its file may differ by the base model's prefix (``AutoModel`` of a causal)."""
    for name in (stored, stored.removeprefix(prefix), prefix + stored):
        if name in names:
            return name
    raise FormatError("load", found=f"the packed matrix {stored!r}",
                      expected="names of the model's linears or experts")


def _linear_shape(linear: nn.Module) -> tuple[int, int, bool]:
    """(out, in, stored the other way round) of ``nn.Linear`` and of what is like it."""
    weight = linear._parameters.get("weight")
    if weight is None or weight.ndim != 2:
        raise FormatError("load", found=f"a packed matrix for a {type(linear).__name__}",
                          expected="a linear")
    rows, cols = weight.shape
    turned = is_conv1d(linear)
    return (cols, rows, True) if turned else (rows, cols, False)


def _matrix(entries: Mapping[str, Entry], name: str, shape: tuple[int, int], values: str,
            group: int | None, read: Callable[[str], torch.Tensor] | None) -> PackedMatrix:
    kind, (rows, cols) = find_kind(values), shape
    wanted: dict[str, tuple[torch.dtype, tuple[int, ...] | None]] = {
        "bitmap": (torch.uint8, (rows, bitmap_bytes(cols))), "values": (kind.dtype, None)}
    if group is not None:
        wanted["scales"] = (torch.bfloat16, (rows, -(-cols // group)))
    elif kind.name == "int8":
        wanted["scales"] = (torch.float32, (rows,))
    made = {}
    for part, (dtype, size) in wanted.items():
        entry = entries.get(f"{name}.{part}")
        fits = entry is not None and entry.dtype == dtype and (
            len(entry.shape) == 1 if size is None else entry.shape == size)
        if entry is None or not fits:
            raise FormatError(
                "load", found=f"{name}.{part}: {'missing' if entry is None else entry}",
                expected=f"{dtype} of shape {size or '(padded length,)'}")
        made[part] = (torch.empty(entry.shape, dtype=dtype, device="meta") if read is None
                      else read(f"{name}.{part}"))
    return PackedMatrix(made["bitmap"], made["values"], made.get("scales"), shape, 0)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    path, _, leaf = name.rpartition(".")
    parent: Any = model.get_submodule(path)
    parent.set_submodule(leaf, module, strict=True)
    # transformers initialises what a file lacked, and some families (GPT-2) do so from the parent,
    # reaching for a `weight` that is no more. Buffers that no file has must still be made.
    if not parent._non_persistent_buffers_set:
        parent._is_hf_initialized = True
