"""Take whole decoder blocks out: an ordinary model of its class with fewer of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neurosparse.errors import InputError, ModelError
from neurosparse.models import BlockWalk, find_blocks, is_streamed
from neurosparse.progress import Progress, silent
from neurosparse.sparse.uneven import is_uneven

_COUNTS = ("num_hidden_layers",)
# Lists of transformers' configurations with one entry a block, and those of blocks' numbers.
_BY_BLOCK = ("layer_types", "no_rope_layers", "mlp_layer_types", "layers_block_type")
_NUMBERS = ("mlp_only_layers",)


def block_influence(model: nn.Module, tokens: Tensor, *, batch_size: int = 8,
                    dtype: torch.dtype | None = None, progress: Progress = silent) -> list[float]:
    """How much each block turns the hidden state: ``1 - mean cos(input, output)`` over tokens.

    One forward pass. Blocks of small influence are those to drop (ShortGPT, arXiv 2403.03853,
    equation 1).

    Parameters
    ----------
    tokens : int64 tensor of shape (windows, length)
        Calibration windows.
    """
    walk = BlockWalk(model, tokens, batch_size=batch_size, dtype=dtype)
    found = []
    for index in range(walk.n_blocks):
        before = [walk.hidden(batch).clone() for batch in range(walk.n_batches)]
        walk.run(index, keep=True)
        likeness = torch.cat([nn.functional.cosine_similarity(
            old.float(), walk.hidden(batch).float(), dim=-1).flatten()
            for batch, old in enumerate(before)])
        found.append(1.0 - float(likeness.mean()))
        progress("influence", index + 1, walk.n_blocks)
    return found


def least_influence(influence: Sequence[float], count: int) -> list[int]:
    """The blocks to drop, in order of depth.

    Raises
    ------
    InputError
        Not a number of blocks that leaves one.
    """
    if not 0 <= count < len(influence):
        raise InputError("drop blocks", found=f"{count} of {len(influence)} blocks",
                         expected=f"0 to {len(influence) - 1}")
    return sorted(sorted(range(len(influence)), key=lambda i: (influence[i], i))[:count])


def check_droppable(model: nn.Module, count: int) -> None:
    """Refuse to drop so many blocks.

    Raises
    ------
    InputError
        None would stay.
    ModelError
        A streamed model, or one whose widths differ.
    """
    if is_streamed(model):
        raise ModelError("drop blocks", found="a streamed model", expected="a model in memory",
                         mend="Load it without stream=True.")
    if is_uneven(model):
        raise ModelError("drop blocks", found="a model that was cut already",
                         expected="whole blocks first, heads and neurons after")
    blocks = len(find_blocks(model))
    if not count < blocks:
        raise InputError("drop blocks", found=f"{count} of {blocks} blocks",
                         expected=f"0 to {blocks - 1}")


def drop_blocks(model: nn.Module, indices: Collection[int]) -> None:
    """Take blocks out, in place; the model saves, loads and generates like any of its class.

    Parameters
    ----------
    model
        Of transformers, in memory; meta tensors will do.
    indices
        Which, by depth.

    Raises
    ------
    InputError
        A block that does not exist or comes twice, or all of them.
    ModelError
        A streamed model, one whose widths differ, or blocks whose number the configuration does
        not tell.
    """
    check_droppable(model, len(indices))
    blocks = find_blocks(model)
    gone = set(indices)
    if len(gone) < len(indices) or not gone <= set(range(len(blocks))):
        raise InputError("drop blocks", found=f"blocks {sorted(indices)}",
                         expected=f"different ones of 0 to {len(blocks) - 1}")
    stay = [index for index in range(len(blocks)) if index not in gone]
    config = _config(model, len(blocks))
    path = blocks.names[0].rpartition(".")[0]
    owner, _, name = path.rpartition(".")
    kept = nn.ModuleList(blocks.modules[index] for index in stay)
    setattr(model.get_submodule(owner), name, kept)
    for number, module in enumerate(kept):
        for inner in module.modules():  # a cache finds its place by this number
            if isinstance(vars(inner).get("layer_idx"), int):
                inner.layer_idx = number  # type: ignore[assignment]
    _tell(config, stay, len(blocks))


def _config(model: nn.Module, count: int) -> Any:
    config: Any = getattr(model, "config", None)
    inner = config.get_text_config() if hasattr(config, "get_text_config") else config
    if getattr(inner, "num_hidden_layers", None) != count:
        raise ModelError("drop blocks", found=f"{count} blocks and a configuration that does not "
                         "tell their number", expected="num_hidden_layers in it")
    return inner


def _tell(config: Any, stay: Sequence[int], count: int) -> None:
    for name in _BY_BLOCK:
        old = getattr(config, name, None)
        if isinstance(old, (list, tuple)) and len(old) == count:
            setattr(config, name, [old[index] for index in stay])
    for name in _NUMBERS:
        old = getattr(config, name, None)
        if isinstance(old, (list, tuple)):
            setattr(config, name, [new for new, index in enumerate(stay) if index in old])
    for name in _COUNTS:
        setattr(config, name, len(stay))
