"""Column after column, the error of each moved to those that follow, as SparseGPT and GPTQ do."""

from __future__ import annotations

from typing import Protocol

import torch

from neurosparse.settle import MOST_COLUMNS, settle_columns

_INNER = 16
_SPAN = 4


class Settle(Protocol):
    """What a column becomes, and what its rows lose by that."""

    def block(self, part: torch.Tensor, factor: torch.Tensor, start: int) -> None:
        """A block of columns is reached; ``part`` of shape (columns, out) has all updates."""
        ...

    def gone(self) -> torch.Tensor | None:
        """What goes of the block, bool tensor of shape (columns, out), where that is all."""
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
        Columns that choose together; columns whose updates of the rest of a block are one product
        where the core does not do them.
    """
    for first in range(0, len(w), _SPAN * block):
        last = min(first + _SPAN * block, len(w))
        errors = torch.empty_like(w[first:last])
        for start in range(first, last, block):
            stop = min(start + block, last)
            part, factor = w[start:stop], upper[start:stop, start:stop]
            mine = errors[start - first : stop - first]
            settle.block(part, factor, start)
            gone = settle.gone()
            if gone is not None and _is_compiled(part):
                settle_columns(part.numpy(), factor.T.contiguous().numpy(),
                               gone.contiguous().numpy(), errors=mine.numpy())
            else:
                _by_few(part, factor, mine, settle, start, inner)
            w[stop:last].addmm_(upper[start:stop, stop:last].T, mine, alpha=-1)
        # What is far is read and written once for some blocks.
        w[last:].addmm_(upper[first:last, last:].T, errors, alpha=-1)


def _is_compiled(part: torch.Tensor) -> bool:
    """Whether the core has code for such a block."""
    return (part.device.type == "cpu" and part.dtype == torch.float32
            and len(part) <= MOST_COLUMNS)


def _by_few(part: torch.Tensor, factor: torch.Tensor, errors: torch.Tensor, settle: Settle,
            start: int, inner: int) -> None:
    """A block, a few columns at a time."""
    for first in range(0, len(part), inner):
        last = min(first + inner, len(part))
        own, now = factor[first:last, first:last], slice(first, last)
        settle.group(part[now], own, start + first)
        _few(part[now], own, errors[now], settle, start + first)
        part[last:].addmm_(factor[now, last:].T, errors[now], alpha=-1)


def _few(part: torch.Tensor, factor: torch.Tensor, errors: torch.Tensor, settle: Settle, start: int
         ) -> None:
    """Some columns (rows of ``part``) one after the other."""
    for at in range(len(part)):
        settle.column(part[at], errors[at], start + at)
        errors[at] /= factor[at, at]
        if at + 1 < len(part):
            part[at + 1 :].addr_(factor[at, at + 1 :], errors[at], alpha=-1)
