"""Lists of module names in short: ``model.layers.[0-29].mlp.up_proj``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from neurosparse.errors import FormatError

_NUMBER = re.compile(r"(?<=\.)(\d+)(?=\.)")
_MOST = 100_000
_RANGES = re.compile(r"\[([0-9,-]+)\]")


def shorten(names: Iterable[str]) -> list[str]:
    """Names that differ in their first number only become one, with its ranges in brackets.

    >>> shorten(["h.0.up", "h.1.up", "h.2.up", "h.4.up", "head"])
    ['h.[0-2,4].up', 'head']
    """
    single: list[str] = []
    groups: dict[tuple[str, str], list[int]] = {}
    for name in names:
        found = _NUMBER.search(name)
        if found is None:
            single.append(name)
        else:
            key = (name[: found.start()], name[found.end() :])
            groups.setdefault(key, []).append(int(found[1]))
    for (head, tail), numbers in groups.items():
        number = f"[{_ranges(numbers)}]" if len(numbers) > 1 else str(numbers[0])
        single.append(head + number + tail)
    return sorted(single)


def lengthen(short: Iterable[str]) -> list[str]:
    """The names that ``shorten`` took.

    >>> lengthen(["h.[0-1,4].up", "head"])
    ['h.0.up', 'h.1.up', 'h.4.up', 'head']

    Raises
    ------
    FormatError
        A range that is none.
    """
    names: list[str] = []
    for entry in short:
        found = _RANGES.search(entry)
        if found is None:
            names.append(entry)
            continue
        for part in found[1].split(","):
            low, _, high = part.partition("-")
            if (not low.isdigit() or (high and not high.isdigit())
                    or int(high or low) - int(low) > _MOST):
                raise FormatError("read names", found=entry, expected="ranges such as [0-2,4]")
            names += [entry[: found.start()] + str(number) + entry[found.end() :]
                      for number in range(int(low), int(high or low) + 1)]
    return names


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
