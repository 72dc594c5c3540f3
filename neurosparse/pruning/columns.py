"""Column after column, the error of each moved to those that follow, as SparseGPT and GPTQ do."""

from __future__ import annotations

from typing import Protocol

import torch

_INNER = 16


class Settle(Protocol):
    """What a column becomes, and what its rows lose by that."""

    def block(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """A block of columns is reached; ``part`` of shape (columns, out) has all updates."""
        ...

    def group(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """A few columns of the block are reached."""
        ...

    def column(self, row: torch.Tensor, error: torch.Tensor, at: int) -> None:
        """Settle column ``at``: change ``row`` (out,) in place, write what it lost to ``error``."""
        ...


def walk_columns(w: torch.Tensor, upper: torch.Tensor, settle: Settle, *, block: int,
                 inner: int = _INNER) -> None:
    """Settle all columns of a weight, in place.

    Columns of the weight are rows of ``w``, so that every one is contiguous; inside a block the
    updates are gathered once more, since products are faster than many rank-one updates.

    Parameters
    ----------
    w : tensor of shape (in, out)
    upper : tensor of shape (in, in)
        Upper Cholesky factor of the inverse of the inputs' Gram matrix.
    block, inner
        Columns whose updates of all that follow, or of the rest of their block, are one product.
    """
    for start in range(0, len(w), block):
        stop = min(start + block, len(w))
        part, factor = w[start:stop], upper[start:stop, start:stop]
        settle.block(part, factor, start)
        errors = torch.empty_like(part)
        for first in range(0, stop - start, inner):
            last = min(first + inner, stop - start)
            own, now = factor[first:last, first:last], slice(first, last)
            settle.group(part[now], own, start + first)
            _few(part[now], own, errors[now], settle, start + first)
            part[last:].addmm_(factor[now, last:].T, errors[now], alpha=-1)
        w[stop:].addmm_(upper[start:stop, stop:].T, errors, alpha=-1)


def _few(part: torch.Tensor, factor: torch.Tensor, errors: torch.Tensor, settle: Settle, start: int
         ) -> None:
    """Some columns (rows of ``part``) one after the other."""
    for at in range(len(part)):
        settle.column(part[at], errors[at], start + at)
        errors[at] /= factor[at, at]
        if at + 1 < len(part):
            part[at + 1 :].addr_(factor[at, at + 1 :], errors[at], alpha=-1)
