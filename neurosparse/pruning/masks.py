"""Masks with exact counts."""

from __future__ import annotations

import numpy as np
import torch

from neurosparse.errors import InputError

# A card selects with one block a row: where there are fewer rows, sorting is quicker.
_FEW_ROWS = 64


def row_counts(rows: int, columns: int, drop: int) -> torch.Tensor:
    """Entries to drop in each row: ``drop`` in all, no two rows apart by more than one.

    The rows that drop one more are spread evenly.

    Returns
    -------
    counts : int64 tensor of shape (rows,)

    Raises
    ------
    InputError
        ``drop`` is not in [0, rows * columns].
    """
    check_count(drop, rows * columns)
    index = torch.arange(rows + 1, dtype=torch.int64)
    return (index * drop // max(rows, 1)).diff()


def check_count(drop: int, size: int) -> None:
    """Can so many entries of a matrix go?

    Raises
    ------
    InputError
        ``drop`` is not in [0, size].
    """
    if not 0 <= drop <= size:
        raise InputError("make a mask", found=f"{drop} entries to drop",
                         expected=f"a count in [0, {size}]")


def row_order(scores: torch.Tensor) -> torch.Tensor:
    """Columns of every row from the lowest score to the highest, ties by position.

    Masks at several rates share one order; a single mask needs no sorting.
    """
    return torch.argsort(scores, dim=1, stable=True)


def lowest_by_row(scores: torch.Tensor, drop: int) -> torch.Tensor:
    """Keep-mask that drops the lowest scores of every row, ``drop`` entries in all.

    Parameters
    ----------
    scores : tensor of shape (rows, columns)
        Of equal scores in a row the first go first.
    drop
        Entries to drop in the whole matrix, exactly.

    Returns
    -------
    keep : bool tensor of shape (rows, columns)
    """
    rows, columns = scores.shape
    counts = row_counts(rows, columns, drop).to(scores.device)
    if not rows:
        return torch.ones(rows, columns, dtype=torch.bool, device=scores.device)
    base = int(counts.min())
    more = counts > base
    if not bool(more.any()):
        return _without_lowest(scores, base)
    keep = torch.empty(rows, columns, dtype=torch.bool, device=scores.device)
    keep[~more] = _without_lowest(scores[~more], base)
    keep[more] = _without_lowest(scores[more], base + 1)
    return keep


def _without_lowest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Every row without its ``count`` lowest: selection, a fifth of the work of sorting."""
    if not count:
        return torch.ones_like(scores, dtype=torch.bool)
    limit = _smallest(scores, count)
    if bool(limit.isnan().any()):
        return _without_lowest(torch.nan_to_num(scores, nan=torch.inf), count)
    # nan is above every number, and so stays.
    keep = (scores > limit) | scores.isnan()
    wrong = torch.nonzero(keep.sum(1) != scores.shape[1] - count).flatten()
    if len(wrong):  # ties at the limit: those beyond the count stay, the last in the row
        part = scores[wrong]
        tied = part == limit[wrong]
        room = count - (part < limit[wrong]).sum(1, keepdim=True)
        keep[wrong] |= tied & (tied.cumsum(1) > room)
    return keep


def _smallest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The ``count``-th smallest of every row, tensor of shape (rows, 1)."""
    if scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64):
        # NumPy selects with vector instructions.
        found = np.partition(scores.detach().numpy(), count - 1, axis=1)[:, count - 1 : count]
        return torch.from_numpy(found.copy())
    if scores.is_cuda and len(scores) < _FEW_ROWS:
        return scores.sort(dim=1).values[:, count - 1 : count]
    return scores.kthvalue(count, dim=1, keepdim=True).values


def lowest_overall(scores: torch.Tensor, drop: int) -> torch.Tensor:
    """Keep-mask that drops the ``drop`` lowest scores of the whole matrix.

    Parameters
    ----------
    scores : tensor of any shape
        Of equal scores the first in memory go first; what is not a number goes last.
    drop
        Entries to drop, exactly.

    Raises
    ------
    InputError
        ``drop`` is not in [0, entries].
    """
    check_count(drop, scores.numel())
    if not drop:
        return torch.ones_like(scores, dtype=torch.bool)
    flat = scores.flatten()
    limit = _smallest(flat[None], drop).flatten()
    keep = ~(flat <= limit)
    more = len(flat) - drop - int(torch.count_nonzero(keep))
    if more < 0:  # the limit is no number, so that nothing was below it
        return lowest_overall(torch.nan_to_num(scores, nan=torch.inf), drop)
    if more > 0:  # ties at the limit: the last in memory stay
        keep[torch.nonzero(flat == limit).flatten()[-more:]] = True
    return keep.view_as(scores)
