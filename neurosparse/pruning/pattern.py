"""N:M patterns: in every group of M neighbours of a row the same number stays."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from neurosparse.errors import InputError

_FORM = re.compile(r"^(n|\d+):(\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pattern:
    """``keep`` of every ``group`` neighbours in a row; ``keep`` None: as the budget says.

    Raises
    ------
    InputError
        Numbers that make no pattern.
    """

    keep: int | None
    group: int

    def __post_init__(self) -> None:
        if self.group < 2 or (self.keep is not None and not 0 < self.keep < self.group):
            raise InputError("read a pattern", found=str(self), expected="N:M with 0 < N < M")

    def __str__(self) -> str:
        return f"{'n' if self.keep is None else self.keep}:{self.group}"

    @property
    def sparsity(self) -> float | None:
        """Share that goes, where the pattern says it."""
        return None if self.keep is None else 1 - self.keep / self.group

    @classmethod
    def read(cls, text: str | Pattern) -> Pattern:
        """From ``"2:4"`` or ``"n:8"``.

        Raises
        ------
        InputError
            It is not of that form.
        """
        if isinstance(text, Pattern):
            return text
        found = _FORM.match(text.strip())
        if found is None:
            raise InputError("read a pattern", found=repr(text), expected="2:4, 4:8, n:8 ...")
        return cls(None if found[1].lower() == "n" else int(found[1]), int(found[2]))


def lowest_by_group(scores: torch.Tensor, group: int, drop: int) -> torch.Tensor:
    """Keep-mask that drops the same number of lowest scores in every group of neighbours.

    Parameters
    ----------
    scores : tensor of shape (rows, columns)
        ``columns`` a multiple of ``group``. Of equal scores the first go first.
    drop
        Entries of the whole matrix: a multiple of the number of groups.

    Raises
    ------
    InputError
        The columns or the count do not divide.
    """
    count = per_group(scores.shape, group, drop)
    parts = scores.reshape(-1, group)
    order = torch.argsort(parts, dim=1, stable=True)
    keep = torch.ones_like(parts, dtype=torch.bool)
    keep.scatter_(1, order[:, :count], False)
    return keep.view(scores.shape)


def per_group(shape: torch.Size | tuple[int, ...], group: int, drop: int) -> int:
    """Entries to drop in each group.

    Raises
    ------
    InputError
        The columns or the count do not divide.
    """
    rows, columns = shape
    if columns % group:
        raise InputError("prune by a pattern", found=f"{columns} inputs",
                         expected=f"a multiple of {group}",
                         mend="Exclude this linear, or choose a smaller group.")
    groups = rows * columns // group
    if groups and drop % groups:
        raise InputError("prune by a pattern",
                         found=f"{drop / (rows * columns):.4%} of a linear to drop",
                         expected=f"a multiple of 1/{group}",
                         mend=f"Allocate with multiple={group} (--multiple {group}).")
    return drop // groups if groups else 0
