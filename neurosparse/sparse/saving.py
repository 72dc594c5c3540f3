"""Save a pruned model packed."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurosparse import kernels
from neurosparse.errors import InputError, ModelError
from neurosparse.models import Blocks, Target, find_blocks, find_targets
from neurosparse.progress import Progress, silent
from neurosparse.sparse.choose import Masks, choose
from neurosparse.sparse.description import ALL
from neurosparse.sparse.kinds import find_group
from neurosparse.sparse.round_vocabulary import (
    dense_vocabulary,
    rounded_vocabulary,
    vocabulary_of,
)
from neurosparse.sparse.rows import PackedRows
from neurosparse.sparse.writer import CheckpointWriter

OpenBlock = Callable[[int], AbstractContextManager[nn.Module]]


def save(
    model: nn.Module, folder: str | Path, *, values: str = "bf16",
    targets: Sequence[Target] | None = None, tokenizer: Any = None, budget: Any = None,
    max_shard_bytes: float = 5e9, masks: Mapping[str, torch.Tensor] | None = None,
    open_block: OpenBlock | None = None, vocabulary: str = "auto", progress: Progress = silent,
    group_size: int | None = None,
) -> dict[str, int]:
    """Save a model of transformers packed: the whole folder, or nothing.

    Packed are the targets whose zeros make the packed form smaller than the dense one; the rest
    is stored dense. Fused experts are packed when gate, up and down together get smaller and none
    of them is left out of ``targets``. What is packed in the model already is stored as it is.

    Parameters
    ----------
    model
        Model of transformers. It is not changed.
    folder
        New or empty folder, or a packed model to replace.
    values
        ``"bf16"``, ``"fp16"``, ``"fp32"``, ``"int8"`` or ``"int4"``; see ``pack`` for the rounding.
        Everything that is not packed is stored in bfloat16 with bf16, int8 and int4, float16 with
        fp16, float32 with fp32.
    targets
        What may be packed; by default all targets of the decoder blocks.
    tokenizer, budget, max_shard_bytes
        As for ``CheckpointWriter``.
    masks
        Bool tensors (out, in) by target name: the entries to keep, zeros among them too. By
        default those that are not zero.
    open_block
        ``open_block(i)`` is a context in which the weights of block i are in memory, for models
        whose blocks stay on disk; one block is open at a time.
    vocabulary
        Embedding and head: ``"dense"`` (as the rest), ``"int8"`` with a scale a row, or ``"auto"``:
        int8 where the values are int8 or int4, or where they are so already.
    group_size
        Columns that share a scale, as for ``pack``; by default that of a model packed already.

    Returns
    -------
    dict
        Bytes: ``packed`` (packed matrices), ``packed_dense`` (the same matrices dense, in the
        dtype of the rest), ``dense`` (all other tensors), ``weights`` (the safetensors files),
        ``folder`` (everything).

    Raises
    ------
    InputError
        Unknown kind of values or of vocabulary, NaN or Inf in a packed weight, masks of another
        shape or for what is not a target, a folder that holds other things, values of another kind
        than the packed model's.
    ModelError
        No decoder blocks, or a parameter that is not in memory.
    StorageError
        The disk is full or the folder cannot be written.
    """
    find_group(values, group_size)
    blocks = find_blocks(model)
    before = _packed_before(model, values)
    if before and group_size is None:
        group_size = _group_before(model, before)
    everything = [] if before else find_targets(model)
    chosen = everything if targets is None else list(targets)
    _check_masks(masks or {}, chosen)
    config = _configuration(model)
    told = getattr(getattr(config, "quantization_config", None), "packed", None)
    words = vocabulary_of(vocabulary, values, model)
    with CheckpointWriter(
        folder, config=config, tokenizer=tokenizer, values=values, budget=budget,
        generation_config=getattr(model, "generation_config", None),
        max_shard_bytes=max_shard_bytes, vocabulary=words, group_size=group_size,
    ) as writer:
        copying = _Copy(model, writer, before, masks or {})
        copying.outside(blocks, rounded_vocabulary(model) if words else dense_vocabulary(model))
        copying.inside(blocks, chosen, open_block, progress)
        done = {target.name for target in everything} == copying.packed
        sizes = writer.close(complete=told == ALL if before else done)
        return {**sizes, "packed_dense": copying.in_dense}


class _Copy:
    """Tensors from a model to a writer, packed where that pays.

    packed
        Names of the targets packed here.
    in_dense
        Bytes that everything packed would take dense.
    """

    def __init__(self, model: nn.Module, writer: CheckpointWriter,
                 before: dict[str, PackedRows], masks: Masks) -> None:
        self.model, self.writer, self.before, self.masks = model, writer, before, masks
        self.packed: set[str] = set()
        self.in_dense = 0
        self._strict = tuple(getattr(model, "_keep_in_fp32_modules_strict", None) or ())

    def outside(self, blocks: Blocks, words: Mapping[str, torch.Tensor]) -> None:
        """Everything that is in no block; of tied tensors the one that the others are tied to.

        Parameters
        ----------
        words
            Tensors of embedding and head by name, in place of the model's own.
        """
        state = self.model.state_dict()
        inside = tuple(f"{name}." for name in blocks.names)
        tied: dict[str, str] = getattr(self.model, "all_tied_weights_keys", {})
        replaced = {name.rpartition(".")[0] for name in words}
        for name, tensor in state.items():
            owner, _, leaf = name.rpartition(".")
            if owner in replaced and leaf in ("weight", "scales"):
                continue
            source = state.get(tied.get(name, name))
            repeated = source is not None and name in tied and _same(source, tensor)
            if not name.startswith(inside) and not repeated:
                self._dense(name, tensor)
        for name, tensor in words.items():
            self.writer.add(name, tensor, keep_dtype=name.endswith(".scales"))

    def inside(self, blocks: Blocks, targets: Sequence[Target], open_block: OpenBlock | None,
               progress: Progress) -> None:
        """All blocks, one open at a time."""
        for index, name in enumerate(blocks.names):
            progress("pack", index, len(blocks))
            with (open_block or nullcontext)(index):
                self.block(name, [target for target in targets if target.block == index])
        progress("pack", len(blocks), len(blocks))

    def block(self, path: str, targets: Sequence[Target]) -> None:
        """One block, whose weights are in memory."""
        values, group = self.writer.kind.name, self.writer.group
        matrices = choose(self.model, targets, values, self.masks, group)
        self.packed |= {target.name for matrix in matrices.values() for target in matrix.targets}
        for name, tensor in self.model.get_submodule(path).state_dict(prefix=f"{path}.").items():
            matrix = matrices.get(name)
            owner, _, leaf = name.rpartition(".")
            if matrix is not None:
                packed = matrix.pack(self.model, self.masks, values, group)
                self._count(packed.shape)
                self.writer.add_packed(matrix.name, packed)
            elif owner not in self.before or leaf == "bias":
                self._dense(name, tensor)
            elif leaf == "bitmap":
                module = self.before[owner]
                self._count((module.rows, module.cols))
                self.writer.add_packed(owner, module.packed())

    def _count(self, shape: tuple[int, int]) -> None:
        self.in_dense += shape[0] * shape[1] * self.writer.kind.dense.itemsize

    def _dense(self, name: str, tensor: torch.Tensor) -> None:
        if tensor.is_meta:
            raise ModelError("save", found=f"{name} on the meta device",
                             expected="a tensor in memory", mend="Give open_block to save.")
        # What transformers keeps in float32 whatever dtype is asked for.
        strict = any(fnmatch.fnmatch(part, pattern)
                     for part in name.split(".") for pattern in self._strict)
        self.writer.add(name, tensor, keep_dtype=strict)


def _configuration(model: nn.Module) -> Any:
    config: Any = copy.deepcopy(getattr(model, "config", None))
    if config is None:
        raise ModelError("save", found=f"a {type(model).__name__} without a configuration",
                         expected="a model of transformers")
    config.architectures = [type(model).__name__]
    return config


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.data_ptr() == right.data_ptr() and left.shape == right.shape


def _packed_before(model: nn.Module, values: str) -> dict[str, PackedRows]:
    found = {name: module for name, module in model.named_modules()
             if isinstance(module, PackedRows)}
    for name, module in found.items():
        kind = module.packed().kind.name
        if kind != values:
            raise InputError("save", found=f"{name}, packed with {kind} values",
                             expected=f"values={values!r}", mend=f"Save with values={kind!r}.")
    return found


def _group_before(model: nn.Module, before: dict[str, PackedRows]) -> int | None:
    """Columns that share a scale in all of the modules: as the configuration says, if that is so.

    One group that is a whole row may be of any size that holds it.
    """
    told = getattr(getattr(model, "config", None), "quantization_config", None)
    for group in (getattr(told, "group", None), None, *kernels.GROUPS):
        if all(module.packed().has_groups(group) for module in before.values()):
            return group
    raise InputError("save", found="packed matrices with groups of several sizes",
                     expected="one size of groups in a folder")


def _check_masks(masks: Masks, targets: Sequence[Target]) -> None:
    unknown = sorted(set(masks) - {target.name for target in targets})
    if unknown:
        raise InputError("save", found=f"a mask for {unknown[0]!r}", expected="names of targets")
