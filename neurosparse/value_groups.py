"""Groups of columns that share a scale: how many there are says how large they are."""

from __future__ import annotations

from neurosparse.errors import InputError

GROUPS = (32, 64, 128, 256)
"""Columns that may share a scale; those of ``ns_is_group`` in ext/kernels/kernels.h."""


def group_of(cols: int, count: int) -> int:
    """Columns of a group where a row has ``count`` of them.

    Groups are powers of two, so that only one size fits; where one group is the whole row, all
    sizes that hold it mean the same, and this is the least of them.

    Raises
    ------
    InputError
        No size of ``GROUPS`` makes as many.

    Examples
    --------
    >>> group_of(4096, 64), group_of(576, 5), group_of(50, 1)
    (64, 128, 64)
    """
    for group in GROUPS:
        if -(-cols // group) == count:
            return group
    raise InputError("find the group of scales", found=f"{count} scales for {cols} columns",
                     expected=f"one for every {', '.join(map(str, GROUPS))} columns")
