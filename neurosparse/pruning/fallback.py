"""What a solver does where the inputs' Gram matrix is of no use."""

from __future__ import annotations

import torch

from neurosparse.pruning.nested import lowest


def without_lowest(weight: torch.Tensor, scores: torch.Tensor, drop: int, *,
                   group: int | None = None, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """The weight without its lowest scores, nothing updated.

    Parameters
    ----------
    weight, scores : tensors of shape (out, in)
        A score that is not a number counts as zero, so that the count is exact.
    drop
        Entries to drop, those that are not allowed included.
    group
        M of an N:M pattern.
    allowed : bool tensor of shape (out, in)
        Where a weight may stay.
    """
    keep = lowest(torch.nan_to_num(scores), drop, group=group,
                  gone=None if allowed is None else ~allowed)
    return weight.masked_fill(~keep, 0.0)
