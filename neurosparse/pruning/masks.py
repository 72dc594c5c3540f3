"""Masks with exact counts."""

from __future__ import annotations

import torch

from neurosparse.errors import InputError


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
    if not 0 <= drop <= rows * columns:
        raise InputError("make a mask", found=f"{drop} entries to drop",
                         expected=f"a count in [0, {rows * columns}]")
    index = torch.arange(rows + 1, dtype=torch.int64)
    return (index * drop // max(rows, 1)).diff()


def row_order(scores: torch.Tensor) -> torch.Tensor:
    """Columns of every row from the lowest score to the highest, ties by position.

    Sorting is most of the work of a mask: masks at several rates share one order.
    """
    return torch.argsort(scores, dim=1, stable=True)


def lowest_by_row(scores: torch.Tensor, drop: int, *, order: torch.Tensor | None = None
                  ) -> torch.Tensor:
    """Keep-mask that drops the lowest scores of every row, ``drop`` entries in all.

    Parameters
    ----------
    scores : tensor of shape (rows, columns)
        Of equal scores in a row the first go first.
    drop
        Entries to drop in the whole matrix, exactly.
    order
        ``row_order(scores)``, where it is known.

    Returns
    -------
    keep : bool tensor of shape (rows, columns)
    """
    rows, columns = scores.shape
    counts = row_counts(rows, columns, drop).to(scores.device)
    if order is None:
        order = row_order(scores)
    keep = torch.ones(rows, columns, dtype=torch.bool, device=scores.device)
    if not rows:
        return keep
    base = int(counts.min())
    keep.scatter_(1, order[:, :base], False)
    more = torch.nonzero(counts > base).flatten()
    if len(more):
        keep[more, order[more, base]] = False
    return keep


def lowest_overall(scores: torch.Tensor, drop: int) -> torch.Tensor:
    """Keep-mask that drops the ``drop`` lowest scores of the whole matrix.

    Parameters
    ----------
    scores : tensor of any shape
        Of equal scores the first in memory go first.
    drop
        Entries to drop, exactly.
    """
    if not drop:
        return torch.ones_like(scores, dtype=torch.bool)
    flat = scores.flatten()
    limit = flat.kthvalue(drop).values
    gone = flat < limit
    tied = torch.nonzero(flat == limit).flatten()
    gone[tied[: drop - int(gone.sum())]] = True
    return ~gone.view_as(scores)
