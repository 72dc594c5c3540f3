"""Masks that take more away from what is sparse already."""

from __future__ import annotations

import torch

from neurosparse.pruning.masks import lowest_by_row, row_counts
from neurosparse.pruning.pattern import lowest_by_group


def lowest(scores: torch.Tensor, drop: int, *, group: int | None = None,
           gone: torch.Tensor | None = None) -> torch.Tensor:
    """Keep-mask without the lowest scores: of every row, of groups, or beyond what is gone.

    Parameters
    ----------
    scores : tensor of shape (rows, columns)
    drop
        Entries to drop in the whole matrix.
    group
        M of an N:M pattern. Zeros score lowest, so that an old mask is kept by itself.
    gone : bool tensor of shape (rows, columns)
        What goes whatever it scores.
    """
    if group is not None:
        return lowest_by_group(scores, group, drop)
    return lowest_by_row(scores, drop) if gone is None else lowest_beyond(scores, drop, gone)


def lowest_beyond(scores: torch.Tensor, drop: int, gone: torch.Tensor) -> torch.Tensor:
    """Keep-mask that drops what is gone and then the lowest scores of every row.

    Rows drop equally many where they can; one that lacks more than its share already is made up
    for by the others, so that the count is exact.

    Parameters
    ----------
    scores : tensor of shape (rows, columns)
    drop
        Entries to drop in the whole matrix, those that are gone included; exactly, unless more
        are gone already, which then stay gone.
    gone : bool tensor of shape (rows, columns)

    Returns
    -------
    keep : bool tensor of shape (rows, columns)
    """
    least = gone.sum(1).cpu()
    rows, columns = scores.shape
    counts = torch.maximum(row_counts(rows, columns, drop), least)
    excess = int(counts.sum()) - drop
    while excess > 0 and bool((counts > least).any()):
        free = torch.nonzero(counts > least).flatten()
        # From the rows that drop most, the first of them where several do.
        order = free[torch.argsort(counts[free], descending=True, stable=True)]
        give = order[:excess]
        counts[give] -= 1
        excess -= len(give)
    ordered = torch.argsort(scores.masked_fill(gone, -torch.inf), dim=1, stable=True)
    place = torch.arange(scores.shape[1], device=scores.device).expand_as(ordered)
    rank = torch.empty_like(ordered).scatter_(1, ordered, place)
    return rank >= counts.to(scores.device)[:, None]
