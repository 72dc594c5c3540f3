"""Save a cut model, as it is or padded to even shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosparse.errors import ModelError
from neurosparse.files import write_whole_folder
from neurosparse.models.quiet import quiet
from neurosparse.sparse.even import padded
from neurosparse.sparse.uneven import is_uneven, tell_widths


def save_uneven(model: Any, folder: str | Path, *, tokenizer: Any = None,
                max_shard_size: str | int = "5GB") -> None:
    """Save a cut model: the whole folder, or nothing.

    After ``neurosparse.register()``, ``AutoModelForCausalLM.from_pretrained(folder)`` loads it.
    The weights are safetensors under the names and in the dtype that they have.

    Parameters
    ----------
    model
        Of transformers; cut by ``prune_structured`` or ``cut``. (``model.save_pretrained`` writes
        the same files, but not all or none of them.)
    folder
        New, or replaced.
    tokenizer
        Saved beside the weights.

    Raises
    ------
    ModelError
        The model was not cut.
    StorageError
        The disk is full or the folder cannot be written.
    """
    if not is_uneven(model):
        raise ModelError("save", found="a model with even widths", expected="a cut model",
                         mend="Save it with model.save_pretrained(folder).")
    tell_widths(model)
    _write(model, folder, tokenizer, max_shard_size)


def export_even(model: Any, folder: str | Path, *, round_to: int = 64, tokenizer: Any = None,
                max_shard_size: str | int = "5GB") -> dict[str, Any]:
    """Save a cut model padded with zeros, in a form that the stock class loads by itself.

    Every block gets the heads of the widest and its neurons, rounded up to a multiple. Zero rows
    and columns change no output, but they take memory and time again.

    Parameters
    ----------
    model, folder, tokenizer
        As for :func:`save_uneven`. The model is not changed.
    round_to
        Neurons become a multiple of it (never more than the model once had).

    Returns
    -------
    dict
        Entries of the configuration that differ from the dense model's: ``num_attention_heads``,
        ``intermediate_size`` ...

    Raises
    ------
    ModelError
        The class cannot have these widths or this bias: blocks with different numbers of experts;
        a bias on ``o_proj`` or ``down_proj`` in a class that has none (cut without
        ``compensate="bias"``).
    InputError
        ``round_to`` is not positive.
    StorageError
        The disk is full or the folder cannot be written.
    """
    even, changed = padded(model, round_to)
    _write(even, folder, tokenizer, max_shard_size)
    return changed


def _write(model: Any, folder: str | Path, tokenizer: Any, max_shard_size: str | int) -> None:
    with quiet(), write_whole_folder(folder) as beside:
        model.save_pretrained(beside, max_shard_size=max_shard_size)
        if tokenizer is not None:
            tokenizer.save_pretrained(beside)
