"""Save what has learnt: packed where zeros make that smaller, else as wide as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from neurosparse.files import size_of, write_whole_folder
from neurosparse.models import find_targets
from neurosparse.models.quiet import quiet
from neurosparse.progress import Progress, silent
from neurosparse.sparse import is_uneven, save, save_uneven
from neurosparse.sparse.choose import choose
from neurosparse.sparse.kinds import find_kind


def save_adapted(model: Any, tokenizer: Any, folder: Path, values: str, *,
                 masks: Mapping[str, torch.Tensor], group_size: int | None = None,
                 progress: Progress = silent) -> tuple[str, int]:
    """Save a plain model and its tokenizer; a dense one is cast in memory, so do this last.

    Parameters
    ----------
    values
        How weights are stored. Of a dense folder the dtype: that of what is not packed.
    masks
        Bool tensors (out, in) by target: the entries to keep.
    group_size
        Columns that share a scale, as for ``sparse.pack``.

    Returns
    -------
    form, size : str, int
        ``"packed"``, ``"uneven"`` (dense; blocks of different widths) or ``"dense"`` (of the
        model's stock class); bytes of the folder.

    Raises
    ------
    NeurosparseError
        As ``sparse.save`` and ``sparse.save_uneven``.
    """
    if choose(model, find_targets(model), values, masks, group_size):
        sizes = save(model, folder, values=values, masks=masks, group_size=group_size,
                     tokenizer=tokenizer, progress=progress)
        return "packed", sizes["folder"]
    model.to(find_kind(values).dense)
    if is_uneven(model):
        save_uneven(model, folder, tokenizer=tokenizer)
        return "uneven", size_of(folder)
    with quiet(), write_whole_folder(folder) as beside:
        model.save_pretrained(beside)
        if tokenizer is not None:
            tokenizer.save_pretrained(beside)
    return "dense", size_of(folder)
