"""What a language model writes numbers for: units alone, or stretches of neighbours of one sort."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import InputError
from neurosparse.search.space import Unit

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Place:
    """One number of a configuration as the model sees it.

    Attributes
    ----------
    name
        Of the unit, or of the first with a range where the last one's number differs.
    units : int array
        Units that share the number.
    """

    name: str
    units: NDArray[np.intp]


def find_places(units: Sequence[Unit], most: int | None = None) -> list[Place]:
    """Places for at most so many numbers, in the order of their first units.

    Units are of one sort when their names differ in numbers alone and their kinds agree. Each sort
    is divided into stretches of neighbours, as evenly as whole units allow. A small language model
    cannot write sixty numbers in a row, and each costs tokens.

    Parameters
    ----------
    most
        None or enough for all: every unit has a place of its own. There are never fewer places
        than sorts.

    Raises
    ------
    InputError
        ``most`` is below 1.
    """
    if most is not None and most < 1:
        raise InputError("describe a search space", found=f"numbers={most}", expected="at least 1")
    if most is None or len(units) <= most:
        return [Place(unit.name, np.array([i])) for i, unit in enumerate(units)]
    sorts: dict[tuple[str, str], list[int]] = {}
    for i, unit in enumerate(units):
        sorts.setdefault((_NUMBER.sub("#", unit.name), unit.kind), []).append(i)
    found = []
    for members in sorts.values():
        count = max(1, most * len(members) // len(units))
        found += [Place(_range(units[part[0]].name, units[part[-1]].name), part)
                  for part in np.array_split(np.array(members), min(count, len(members)))]
    return sorted(found, key=lambda place: int(place.units[0]))


def _range(first: str, last: str) -> str:
    """``layers.0-4.mlp`` of ``layers.0.mlp`` and ``layers.4.mlp``."""
    ends = iter(_NUMBER.findall(last))

    def both(match: re.Match[str]) -> str:
        begin, end = match[0], next(ends)
        return begin if begin == end else f"{begin}-{end}"

    return _NUMBER.sub(both, first)
