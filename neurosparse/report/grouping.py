"""Targets put together by what they are: role and block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


def block_of(name: str) -> int | None:
    """Block of a target: the first number in its module path.

    Examples
    --------
    >>> block_of("model.layers.7.mlp.up_proj"), block_of("lm_head")
    (7, None)
    """
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)


def role_of(name: str) -> str:
    """Role of a target: the last part of its path, without the number of an expert.

    Examples
    --------
    >>> role_of("model.layers.7.mlp.experts.gate_up_proj#3"), role_of("model.layers.0")
    ('gate_up_proj', 'block')
    """
    last = name.rsplit(".", 1)[-1].split("#", 1)[0]
    return "block" if last.isdecimal() else last


@dataclass(frozen=True)
class Series:
    """One line of a figure: the targets of one role (or of several with the same values).

    block, mean, low, high : arrays of shape (blocks of the role,)
        Where a block has several targets of the role (experts), their mean weighted by size and
        their range; otherwise the three are the value itself.
    """

    roles: tuple[str, ...]
    block: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def label(self) -> str:
        """The roles, as a legend says them."""
        return ", ".join(self.roles)


def by_role(blocks: ArrayLike, roles: Sequence[str], sizes: ArrayLike, values: ArrayLike
            ) -> list[Series]:
    """One series for each role, in the order in which the roles first appear."""
    where, mass = np.asarray(blocks, np.int64), np.asarray(sizes, float)
    value, role = np.asarray(values, float), np.asarray(roles, object)
    found = []
    for name in dict.fromkeys(roles):
        mine = role == name
        at = np.unique(where[mine])
        parts = [mine & (where == block) for block in at]
        low = np.array([value[part].min() for part in parts])
        high = np.array([value[part].max() for part in parts])
        # A mean of one value may differ from it in the last bit; the value itself is drawn.
        mean = np.array([
            value[part][0] if part.sum() == 1 else np.average(value[part], weights=mass[part])
            for part in parts
        ])
        found.append(Series((name,), at, mean, low, high))
    return found


def merged(series: Sequence[Series]) -> list[Series]:
    """Series that are the same everywhere drawn as one, so that none hides behind another."""
    found: list[Series] = []
    for one in series:
        for place, other in enumerate(found):
            same = np.array_equal(one.block, other.block) and all(
                np.allclose(getattr(one, part), getattr(other, part), rtol=0, atol=1e-12)
                for part in ("mean", "low", "high")
            )
            if same:
                found[place] = Series(other.roles + one.roles, other.block, other.mean,
                                      other.low, other.high)
                break
        else:
            found.append(one)
    return found
