"""Bytes of the safetensors file that a packed model will be, from shapes and counts alone."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from neurosparse.layout import bitmap_bytes
from neurosparse.models import Target, find_blocks
from neurosparse.sparse import packed_bytes
from neurosparse.sparse.experts import PARTS, is_fused_experts
from neurosparse.sparse.headers import NAMES, encode_header
from neurosparse.sparse.kinds import Kind, find_group, find_kind
from neurosparse.sparse.round_vocabulary import vocabulary_modules, vocabulary_of
from neurosparse.sparse.shards import ALIGNMENT, file_order

_Tensor = tuple[str, torch.dtype, tuple[int, ...], int]
"""Name, dtype, shape and bytes, as a header has them."""
# Two shards that follow each other hold more than this together: see ShardWriter.
_SHARD, _OF_SHARD = 5e9, 128


def packed_file_bytes(model: nn.Module, targets: Sequence[Target], dropped: Mapping[str, int],
                      values: str, group_size: int | None = None) -> int:
    """Bytes of the file that ``sparse.save`` makes, header and all.

    Exact where no weight that stays is zero by chance, else an upper bound. (Of a model that takes
    several files, a little more than all of them.)

    Parameters
    ----------
    model
        Dense, in memory or on the meta device.
    targets
        All of its targets.
    dropped
        Weights that go, by target; a target that is not named loses none.
    values, group_size
        Kind of the values, and columns with a scale of their own (None: the kind's default).
    """
    kind, group_size = find_kind(values), find_group(values, group_size)
    packed: dict[str, list[_Tensor]] = {}
    for group in _groups(model, targets):
        kept = {parameter: sum(one.size - dropped.get(one.name, 0) for one in members)
                for parameter, members in group.items()}
        dense = sum(one.size for members in group.values() for one in members)
        made = {parameter: _packed(parameter, members, kept[parameter], kind, group_size)
                for parameter, members in group.items()}
        if sum(one[3] for parts in made.values() for one in parts) < dense * kind.dense.itemsize:
            packed |= made
    tensors = [one for name, tensor in _stored(model, values)
               for one in packed.get(name) or [_dense(model, name, tensor, kind)]]
    # as in the file: the places of the tensors are numbers in its header
    tensors.sort(key=lambda one: file_order(one[0], one[1]))
    size = sum(one[3] for one in tensors)
    header = encode_header([(name, NAMES[dtype], shape, count)
                            for name, dtype, shape, count in tensors], ALIGNMENT)
    return len(header) + size + int(2 * size // _SHARD) * _OF_SHARD


def _groups(model: nn.Module, targets: Sequence[Target]) -> Iterator[dict[str, list[Target]]]:
    """Targets that are packed together or not at all, by the parameter that holds them."""
    experts: dict[str, dict[str, list[Target]]] = {}
    for target in targets:
        if target.expert is None:
            yield {f"{target.name}.weight": [target]}
        else:
            parts = experts.setdefault(target.module_name, {})
            parts.setdefault(f"{target.module_name}.{target.parameter}", []).append(target)
    for path, parts in experts.items():
        if is_fused_experts(model.get_submodule(path)) and len(parts) == len(PARTS):
            yield parts


def _packed(parameter: str, members: Sequence[Target], nnz: int, kind: Kind, group: int | None
            ) -> list[_Tensor]:
    """Bitmap, values and scales of a matrix: a linear, or experts below one another."""
    name = parameter.removesuffix(".weight")
    rows, cols = sum(one.shape[0] for one in members), members[0].shape[1]
    wide, length = bitmap_bytes(cols), kind.length(nnz)
    found: list[_Tensor] = [
        (f"{name}.bitmap", torch.uint8, (rows, wide), rows * wide),
        (f"{name}.values", kind.dtype, (length,), length * kind.itemsize)]
    scales = packed_bytes(rows, cols, nnz, kind.name, group) - found[0][3] - found[1][3]
    if group is not None:
        found.append((f"{name}.scales", torch.bfloat16, (rows, -(-cols // group)), scales))
    elif scales:
        found.append((f"{name}.scales", torch.float32, (rows,), scales))
    return found


def _stored(model: Any, values: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Everything that a file names, in its order: what is in no block, embedding and head if they
    are rounded (rows and scales), the blocks. Tied tensors once.
    """
    gone = set(getattr(model, "all_tied_weights_keys", None) or ())
    words: list[str] = []
    if vocabulary_of("auto", values, model) is not None:
        embedding, head, tied = vocabulary_modules(model)
        words = [f"{embedding}.weight"]
        words += [f"{head}.weight"] if head is not None and not tied else []
    state = model.state_dict()
    inside = tuple(f"{name}." for name in find_blocks(model).names)
    stored = [(name, tensor) for name, tensor in state.items() if name not in {*gone, *words}]
    yield from (one for one in stored if not one[0].startswith(inside))
    for name in words:
        rows, _ = shape = state[name].shape
        yield name, torch.empty(shape, dtype=torch.int8, device="meta")
        yield (f"{name.removesuffix('weight')}scales",
               torch.empty(rows, dtype=torch.float32, device="meta"))
    yield from (one for one in stored if one[0].startswith(inside))


def _dense(model: Any, name: str, tensor: torch.Tensor, kind: Kind) -> _Tensor:
    strict = getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    kept = name.endswith(".scales") or any(
        fnmatch.fnmatch(part, pattern) for part in name.split(".") for pattern in strict)
    dtype = tensor.dtype if kept or not tensor.is_floating_point() else kind.dense
    shape = tuple(tensor.shape)
    return name, dtype, shape, math.prod(shape) * dtype.itemsize
