"""Write a pruned model packed (``neurosparse pack``)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurosparse.errors import InputError
from neurosparse.files import size_of
from neurosparse.models import find_blocks, find_targets, get_weight
from neurosparse.models.streaming import opened
from neurosparse.pipeline.opening import Opened, open_model
from neurosparse.pipeline.rounding import Rounded, Rounding, round_by_inputs
from neurosparse.pipeline.values import convert_values
from neurosparse.progress import Progress, silent
from neurosparse.records import RunRecord
from neurosparse.sparse import is_packed, packed_bytes, save
from neurosparse.sparse.kinds import find_group, find_kind
from neurosparse.sparse.round_vocabulary import vocabulary_of, vocabulary_saving
from neurosparse.sparse.rows import PackedRows
from neurosparse.sparse.writer import refuse_foreign


@dataclass(frozen=True)
class PackReport:
    """What packing makes of a model; bytes, counted before and measured after.

    Attributes
    ----------
    model, values, out, group_size
        As asked; the size None where no group of columns has a scale.
    source, source_bytes
        What the model was, ``"GGUF Q4_1"``, and the bytes of its weights as they came.
    weights, zeros
        Number of weights of the matrices that may be packed; how many of them are gone.
    matrices, packed_matrices
        Of them, and how many get smaller by packing.
    dense, packed
        Bytes of the matrices that get packed: dense in 16 bits (32 with fp32), and packed.
    rest, rest_dense
        Bytes of everything else, and of the same with a dense vocabulary.
    vocabulary
        How embedding and head are stored in it: ``"int8"``, or None for as the rest.
    folder
        Bytes of the folder, tokenizer and all; None before it is written.
    notes
        What a user should know.
    """

    model: str
    values: str
    out: str
    source: str
    source_bytes: int
    weights: int
    zeros: int
    matrices: int
    packed_matrices: int
    dense: int
    packed: int
    rest: int
    rest_dense: int
    vocabulary: str | None = None
    folder: int | None = None
    notes: tuple[str, ...] = ()
    group_size: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def pack_step(
    model: str, out: str | Path, *, values: str = "bf16", dtype: str = "auto",
    stream: bool = False, max_shard_bytes: float = 5e9, overwrite: bool = False,
    write: bool = True, vocabulary: str = "auto", group_size: int | None = None,
    rounding: Rounding | None = None, progress: Progress = silent,
) -> PackReport:
    """Pack a model that was pruned, or store a packed one with another kind of values.

    Parameters
    ----------
    model
        Dense folder, hub id, GGUF file or alias whose linears have zeros; or a packed folder.
    out
        Folder of the packed model, with the tokenizer and a run record.
    values
        ``"bf16"``, ``"fp16"``, ``"fp32"``, ``"int8"`` or ``"int4"``.
    dtype
        In which a dense model is read; as it is stored by default.
    stream
        Read the blocks of a dense folder from disk one by one.
    max_shard_bytes
        Begin a new file before one would hold more.
    overwrite
        Replace a packed model in ``out``.
    write
        Or only count.
    vocabulary
        Embedding and head: ``"int8"``, ``"dense"``, or ``"auto"``, which is int8 with int8 and int4
        values.
    group_size
        Columns that share a scale, as for ``sparse.pack``.
    rounding
        How weights become whole numbers; each to the nearest by default.

    Raises
    ------
    InputError
        ``out`` holds something; nothing would get smaller, because nothing was pruned; a value
        that the kind cannot hold.
    NeurosparseError
        As ``models.load``, ``sparse.load`` and ``sparse.save``.
    """
    group_size, how = find_group(values, group_size), rounding or Rounding()
    how.check(values, stream=stream)
    target = Path(out)
    if write:
        (refuse_foreign if overwrite else _refuse_taken)(target)
    if stream and is_packed(model):
        raise InputError("pack", found=f"stream with {model}, which is packed",
                         expected="a dense folder")
    record = RunRecord("pack", arguments={"model": model, "values": values, "dtype": dtype,
                                          "stream": stream, "max_shard_bytes": max_shard_bytes,
                                          "vocabulary": vocabulary, "group_size": group_size,
                                          "rounding": asdict(how)})
    if how.how != "nearest":
        dtype = "float32"  # whole numbers times scales are exact in nothing narrower
    with record.timed("load"):
        keeps = is_packed(model) and how.how == "nearest"
        source = open_model(model, dtype="auto" if keeps else dtype, stream=stream)
    with record.timed("count"):
        words = vocabulary_of(vocabulary, values, source.model)
        counted = _counted(source, values, group_size, str(out), words)
    _refuse_unpruned(counted)
    if not write:
        return counted
    done = None
    if how.how != "nearest":
        with record.timed("round"):
            done = round_by_inputs(source, values, group_size, how, progress=progress)
        counted = replace(counted, notes=(*counted.notes, *done.notes))
    with record.timed("pack"):
        written = _write(source, done, target, values, group_size, words or "dense",
                         max_shard_bytes, progress)
    record.results = {**counted.as_dict(), "packed": written["packed"],
                      "dense": written["packed_dense"], "rest": written["dense"]}
    record.write(target / "run.json")
    found = {**record.results, "folder": size_of(target), "notes": counted.notes}
    return PackReport(**found)


def _refuse_taken(target: Path) -> None:
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise InputError("pack", found=f"results in {target}", expected="a new or empty folder",
                         mend="Name another with --out, or replace them with --overwrite.")


def _refuse_unpruned(counted: PackReport) -> None:
    if counted.packed_matrices == 0:
        raise InputError(
            "pack", found=f"{counted.model} with {counted.zeros / max(counted.weights, 1):.1%} of "
            f"its blocks' weights zero: no matrix gets smaller as {counted.values}",
            expected="a pruned model",
            mend=f"Prune it first: neurosparse compress {counted.model} --sparsity 0.6, or "
                 "profile, allocate and prune.")


def _write(source: Opened, done: Rounded | None, target: Path, values: str,
           group_size: int | None, vocabulary: str, max_shard_bytes: float, progress: Progress
           ) -> dict[str, int]:
    model = source.model if done is None else done.model
    if source.packed and done is None:
        convert_values(model, values, group_size=group_size, progress=progress)
    budget = Path(source.name) / "budget.json"

    def open_block(index: int) -> AbstractContextManager[nn.Module]:
        return opened(model, index)

    return save(model, target, values=values, tokenizer=source.tokenizer,
                budget=budget if budget.is_file() else None, max_shard_bytes=max_shard_bytes,
                open_block=open_block, vocabulary=vocabulary, group_size=group_size,
                progress=progress, masks=None if done is None else done.masks,
                targets=None if done is None else done.targets)


def _counted(source: Opened, values: str, group: int | None, out: str, words: str | None
             ) -> PackReport:
    """Sizes before anything is written, of every matrix by itself."""
    shapes = _packed_shapes(source.model) if source.packed else _dense_shapes(source.model)
    wide = find_kind(values).dense.itemsize
    pays = [(rows, cols, nnz) for rows, cols, nnz in shapes
            if source.packed or packed_bytes(rows, cols, nnz, values, group) < rows * cols * wide]
    inside = sum(rows * cols for rows, cols, _ in pays)
    # Of a packed model the packed matrices are no parameters.
    others = sum(p.numel() for p in source.model.parameters()) - (0 if source.packed else inside)
    rest = others * wide
    if words is not None:
        rest -= vocabulary_saving(source.model, wide)
    weights = sum(rows * cols for rows, cols, _ in shapes)
    gone = weights - sum(nnz for _, _, nnz in shapes)
    return PackReport(
        source.name, values, out, source.description, source.weights, weights, gone, len(shapes),
        len(pays), inside * wide, sum(packed_bytes(*shape, values, group) for shape in pays),
        rest, others * wide, words, notes=_notes(source, values, gone), group_size=group)


def _dense_shapes(model: nn.Module) -> list[tuple[int, int, int]]:
    targets, found = find_targets(model), []
    for index in range(len(find_blocks(model))):
        with opened(model, index):
            found += [(*target.shape, int(torch.count_nonzero(get_weight(model, target))))
                      for target in targets if target.block == index]
    return found


def _packed_shapes(model: nn.Module) -> list[tuple[int, int, int]]:
    return [(module.rows, module.cols, module.nnz) for module in model.modules()
            if isinstance(module, PackedRows)]


def _notes(source: Opened, values: str, gone: int) -> tuple[str, ...]:
    notes = []
    if gone == 0:
        notes.append("no weight is zero: what is saved comes from the kind of values alone; "
                     "prune the model first")
    if source.tokenizer is None:
        notes.append("the model came without tokenizer files, so none are saved")
    before = source.description.removeprefix("packed ")
    sizes = ("int4", "int8", "bf16", "fp16", "fp32")
    if source.packed and before in sizes[:2] and sizes.index(values) > sizes.index(before):
        notes.append(f"the values were {before}: they take more room now and are as coarse as "
                     "before")
    return tuple(notes)
