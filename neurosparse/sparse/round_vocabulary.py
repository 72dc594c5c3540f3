"""Put embedding and output head of a model into int8, and back into a skeleton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.errors import FormatError, InputError, ModelError
from neurosparse.sparse.headers import Entry
from neurosparse.sparse.matrix import quantised
from neurosparse.sparse.vocabulary import RoundedEmbedding, RoundedHead

CHOICES = ("auto", "int8", "dense")


def vocabulary_of(asked: str, values: str, model: Any) -> str | None:
    """How a model's vocabulary is stored: ``"int8"``, or None for the dtype of the rest.

    Parameters
    ----------
    asked
        ``"int8"``, ``"dense"``, or ``"auto"``: int8 where the values are rounded to integers too,
        or where it is int8 already.
    values
        Kind of the packed values.

    Raises
    ------
    InputError
        An unknown choice.
    """
    if asked not in CHOICES:
        raise InputError("pack", found=f"vocabulary={asked!r}",
                         expected=f"one of {', '.join(CHOICES)}")
    if asked == "auto":
        if isinstance(_embedding(model), RoundedEmbedding):
            return "int8"
        return "int8" if values.startswith("int") and _can_be_rounded(model) else None
    return "int8" if asked == "int8" else None


def _can_be_rounded(model: Any) -> bool:
    try:
        vocabulary_modules(model)
    except (ModelError, AttributeError, NotImplementedError):
        return False
    return True


def _embedding(model: Any) -> Any:
    getter = getattr(model, "get_input_embeddings", None)
    try:
        return getter() if getter is not None else None
    except (AttributeError, NotImplementedError):
        return None


def vocabulary_modules(model: Any) -> tuple[str, str | None, bool]:
    """Names of the embedding and of the output head of a model, and whether they are tied.

    Raises
    ------
    ModelError
        No token embedding, or an embedding or head that does more than look up and multiply.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(module): name for name, module in model.named_modules()}
    if not isinstance(embedding, nn.Embedding) or id(embedding) not in names:
        raise ModelError("round the vocabulary", found=f"a {type(embedding).__name__}",
                         expected="a token embedding")
    own = type(embedding).forward in (nn.Embedding.forward, RoundedEmbedding.forward)
    if not own and not hasattr(embedding, "embed_scale"):
        raise ModelError("round the vocabulary", expected="an embedding of torch, or a scaled one",
                         found=f"{type(embedding).__name__}, which does more than look rows up",
                         mend="Leave the vocabulary as it is.")
    if head is None:
        return names[id(embedding)], None, False
    if not isinstance(head, nn.Linear | RoundedHead):
        raise ModelError("round the vocabulary", found=f"a head of {type(head).__name__}",
                         expected="Linear", mend="Leave the vocabulary as it is.")
    return names[id(embedding)], names[id(head)], head.weight is embedding.weight


def rounded_vocabulary(model: Any) -> dict[str, Tensor]:
    """The tensors that stand for embedding and head in a file, rounded; the model stays as it is.

    Raises
    ------
    ModelError
        As ``vocabulary_modules``; or rows that are not in memory.
    InputError
        NaN or Inf in a row.
    """
    embedding, head, tied = vocabulary_modules(model)
    found: dict[str, Tensor] = {}
    for name in dict.fromkeys([embedding] + ([head] if head is not None and not tied else [])):
        module = model.get_submodule(name)
        if isinstance(module, RoundedEmbedding | RoundedHead):
            found[f"{name}.weight"], found[f"{name}.scales"] = module.weight, module.scales
        else:
            _check_in_memory(module)
            rows = quantised(module.weight.detach())
            found[f"{name}.weight"], found[f"{name}.scales"] = rows
    if head is not None and tied:  # the file names the rows once
        found.pop(f"{head}.weight", None)
    return found


def dense_vocabulary(model: Any) -> dict[str, Tensor]:
    """The same with floats, where the model's own is rounded; else nothing."""
    if not isinstance(_embedding(model), RoundedEmbedding):
        return {}
    embedding, head, tied = vocabulary_modules(model)
    found = {f"{embedding}.weight": model.get_submodule(embedding).to_dense()}
    if head is not None and not tied:
        found[f"{head}.weight"] = model.get_submodule(head).to_dense()
    return found


def vocabulary_saving(model: Any, itemsize: int) -> int:
    """Bytes that int8 rows with their scales take less than ``itemsize`` bytes a weight; 0 where
    the vocabulary cannot be rounded. Tied rows count once.
    """
    if not _can_be_rounded(model):
        return 0
    embedding, head, tied = vocabulary_modules(model)
    held = [embedding] + ([head] if head is not None and not tied else [])
    shapes = [model.get_submodule(name).weight.shape for name in held]
    return sum(rows * cols * (itemsize - 1) - 4 * rows for rows, cols in shapes)


def _check_in_memory(module: nn.Module) -> None:
    if module.weight.is_meta:
        raise ModelError("round the vocabulary", found="rows on the meta device",
                         expected="rows in memory")


def install_vocabulary(model: Any, entries: Mapping[str, Entry]) -> str | None:
    """Replace embedding and head of a skeleton by rounded ones, on the meta device.

    Parameters
    ----------
    model
        Model of transformers on the meta device; changed in place.
    entries
        Tensors of the files: ``<embedding>.weight`` in int8 and ``<embedding>.scales``, the same of
        the head where it is not tied.

    Returns
    -------
    str or None
        What the tensors of the head's rows begin with, its own or the embedding's; None without a
        head.

    Raises
    ------
    FormatError
        The tensors are missing or have other shapes or dtypes.
    ModelError
        As ``vocabulary_modules``.
    """
    embedding_name, head_name, _ = vocabulary_modules(model)
    prefix = f"{model.base_model_prefix}."
    embedding = model.get_submodule(embedding_name)
    stored, *rows = _skeleton(entries, embedding_name, prefix, tuple(embedding.weight.shape))
    put_embedding(model, *rows)
    if head_name is None:
        return None
    shape = tuple(model.get_submodule(head_name).weight.shape)
    own = f"{head_name}.scales" in entries
    if own:
        stored, *rows = _skeleton(entries, head_name, prefix, shape)
    put_head(model, *rows, own=own)
    return stored


def tie_vocabulary(model: Any) -> None:
    """After the rows were read: a tied head takes the embedding's."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if isinstance(head, RoundedHead) and not head.own:
        head.weight, head.scales = embedding.weight, embedding.scales


def prepare_vocabulary(model: Any) -> None:
    """Put a rounded head on the CPU into tile order now, instead of at its first product."""
    head = model.get_output_embeddings()
    if isinstance(head, RoundedHead) and head.weight.device.type == "cpu":
        head.tiles()


def put_embedding(model: Any, weight: Tensor, scales: Tensor) -> None:
    """Replace a model's embedding by int8 rows."""
    name, _, _ = vocabulary_modules(model)
    old = model.get_submodule(name)
    # On the meta device the number alone can be read.
    factor = float(getattr(old, "scalar_embed_scale", getattr(old, "embed_scale", 1.0)))
    model.set_submodule(name, RoundedEmbedding(weight, scales, old.weight.dtype, factor))


def put_head(model: Any, weight: Tensor, scales: Tensor, *, own: bool) -> None:
    """Replace a model's output head by int8 rows, its own or those of the embedding."""
    names = {id(module): name for name, module in model.named_modules()}
    old = model.get_output_embeddings()
    model.set_submodule(names[id(old)], RoundedHead(weight, scales, old.weight.dtype,
                                                    old._parameters.get("bias"), own=own))


def _skeleton(entries: Mapping[str, Entry], name: str, prefix: str, shape: tuple[int, ...]
              ) -> tuple[str, Tensor, Tensor]:
    """A model and its file may differ by the base model's prefix: the file's name comes first."""
    told = (name, name.removeprefix(prefix), prefix + name)
    stored = next((one for one in told if f"{one}.weight" in entries), name)
    parts = (("weight", torch.int8, shape), ("scales", torch.float32, shape[:1]))
    made = []
    for part, dtype, wanted in parts:
        found = entries.get(f"{stored}.{part}")
        if found is None or found.dtype != dtype or found.shape != wanted:
            raise FormatError("load", found=f"{name}.{part}: {found or 'missing'}",
                              expected=f"{dtype} of shape {wanted}")
        made.append(torch.empty(wanted, dtype=dtype, device="meta"))
    return stored, made[0], made[1]
