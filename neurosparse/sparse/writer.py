"""Write a packed model matrix by matrix."""

from __future__ import annotations

import copy
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from neurosparse.errors import InputError
from neurosparse.files import size_of, write_json, write_whole_folder
from neurosparse.sparse.description import describe, is_packed
from neurosparse.sparse.kinds import find_group, find_kind
from neurosparse.sparse.matrix import PackedMatrix
from neurosparse.sparse.shards import ShardWriter

INDEX = "model.safetensors.index.json"


class _Discard(Exception):
    """Leaves the folder's context as a failure does."""


class CheckpointWriter:
    """The folder of a packed model, written block by block: all of it appears, or nothing.

    At most one tensor is held at a time. Use it as a context manager (an error discards
    everything), or call ``close`` or ``abort``.

    Parameters
    ----------
    folder
        What will be the model's folder. A packed model that is there is replaced at the end.
    config
        Configuration of transformers; it is not changed.
    tokenizer
        Saved beside the weights, if given.
    values
        Kind of the packed values; it decides the dtype of everything else too: bfloat16 with bf16,
        int8 and int4, float16 with fp16, float32 with fp32. Integers stay as they are.
    group_size
        Columns that share a scale, as for ``pack``.
    generation_config
        Saved beside the weights, if given.
    budget
        ``Budget``, its file, or its JSON object; becomes ``budget.json``.
    max_shard_bytes
        Begin a new file before one would hold more.
    vocabulary
        ``"int8"`` where embedding and head are added in int8 with ``scales``.

    Raises
    ------
    InputError
        An unknown kind of values, or a folder that holds anything but a packed model.
    StorageError
        The disk is full or the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, *, config: Any, tokenizer: Any = None, values: str = "bf16",
        generation_config: Any = None, budget: Any = None, max_shard_bytes: float = 5e9,
        vocabulary: str | None = None, group_size: int | None = None,
    ) -> None:
        self.kind, self.group = find_kind(values), find_group(values, group_size)
        self.folder = Path(folder)
        refuse_foreign(self.folder)
        self._config, self._tokenizer = config, tokenizer
        self._generation_config, self._budget = generation_config, budget
        self._vocabulary = vocabulary
        self._packed: dict[str, int] = {}
        self._closed = False
        self._stack = ExitStack()
        self._beside = self._stack.enter_context(write_whole_folder(self.folder))
        with ExitStack() as undo:
            undo.callback(self.abort)
            self._shards = ShardWriter(self._beside, max_bytes=max_shard_bytes)
            undo.pop_all()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            if not self._closed:
                self.close()
        else:
            # write_whole_folder removes its folder and translates a full disk on the way out.
            self._stack.__exit__(kind, error, trace)

    def add(self, name: str, tensor: torch.Tensor, *, keep_dtype: bool = False) -> None:
        """Store a tensor that is not packed, floats in the dtype that belongs to the values.

        Raises
        ------
        InputError
            The name is there already, or the dtype cannot be stored.
        """
        if tensor.is_floating_point() and not keep_dtype:
            tensor = tensor.detach().to(self.kind.dense)
        self._shards.add(name, tensor)

    def add_packed(self, module_name: str, packed: PackedMatrix) -> None:
        """Store a packed matrix as ``<module_name>.bitmap``, ``.values`` and ``.scales``.

        Raises
        ------
        InputError
            The values are of another kind than the file, or the scales of other groups, or the name
            is there already.
        """
        if packed.kind.name != self.kind.name:
            raise InputError("save", found=f"{module_name} with {packed.kind.name} values",
                             expected=f"{self.kind.name}, as the file")
        if not packed.has_groups(self.group):
            raise InputError("save", found=f"{module_name} with scales of groups of {packed.group}",
                             expected=f"groups of {self.group}, as the file")
        self._shards.add(f"{module_name}.bitmap", packed.bitmap)
        self._shards.add(f"{module_name}.values", packed.values)
        if packed.scales is not None:
            self._shards.add(f"{module_name}.scales", packed.scales)
        self._packed[module_name] = packed.nbytes

    def close(self, *, complete: bool = False) -> dict[str, int]:
        """Write index, configuration and hashes, and put the folder in its place.

        Parameters
        ----------
        complete
            All the targets of all blocks were packed: the configuration then has no list.

        Returns
        -------
        dict
            Bytes: ``packed`` (all packed matrices), ``dense`` (all other tensors), ``weights``
            (the safetensors files), ``folder`` (everything).
        """
        self._closed = True
        with self._stack:
            hashes, weight_map = self._shards.finish()
            if len(hashes) > 1:
                write_json(self._beside / INDEX, {"metadata": {"total_size": self._shards.total},
                                                  "weight_map": dict(sorted(weight_map.items()))})
            self._write_config(describe(self.kind.name, self._packed, complete=complete,
                                        sha256=hashes, vocabulary=self._vocabulary,
                                        group=self.group))
            packed = sum(self._packed.values())
            return {
                "packed": packed, "dense": self._shards.total - packed,
                "weights": sum(size_of(self._beside / file) for file in hashes),
                "folder": size_of(self._beside),
            }

    def abort(self) -> None:
        """Discard everything; the folder is left as it was."""
        self._closed = True
        with suppress(_Discard), self._stack:
            raise _Discard

    def _write_config(self, description: dict[str, Any]) -> None:
        config = copy.deepcopy(self._config)
        config.quantization_config = description
        config.dtype = str(self.kind.dense).removeprefix("torch.")
        config.save_pretrained(self._beside)
        if self._generation_config is not None:
            # save_pretrained would refuse what some models come with (temperature, no sampling).
            self._generation_config.to_json_file(self._beside / "generation_config.json")
        if self._tokenizer is not None:
            self._tokenizer.save_pretrained(self._beside)
        if self._budget is not None:
            _write_budget(self._budget, self._beside / "budget.json")


def _write_budget(budget: Any, path: Path) -> None:
    if isinstance(budget, dict):
        write_json(path, budget)
    elif isinstance(budget, str | Path):
        path.write_bytes(Path(budget).read_bytes())
    else:
        budget.write(path)


def refuse_foreign(folder: Path) -> None:
    """The whole folder is replaced: never one that holds anything else, a dense model least."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not is_packed(folder)):
        raise InputError("save", found=f"{folder}, which holds other things",
                         expected="a new or empty folder, or one that holds a packed model")
