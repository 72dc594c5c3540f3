"""A range on the command line: START:STOP:COUNT, or values with commas."""

from __future__ import annotations

import math

import numpy as np

from neurosparse.errors import InputError

_MOST = 100_000  # far more than any diagram has; a slip would fill the memory


def read_axis(name: str, text: str) -> list[float]:
    """The values that ``text`` names, such as ``0.5:5:10`` (ten, both ends among them) or ``1,2``.

    Raises
    ------
    InputError
        It names none.
    """
    parts = text.split(":")
    try:
        if len(parts) == 3:
            start, stop, count = float(parts[0]), float(parts[1]), int(parts[2])
            # one value cannot be both ends
            ends = math.isfinite(start) and math.isfinite(stop) and (
                (2 if start != stop else 1) <= count <= _MOST)
            values = [float(v) for v in np.linspace(start, stop, count)] if ends else []
        elif len(parts) == 1:
            values = [float(part) for part in text.split(",")]
        else:
            values = []
    except ValueError:
        values = []
    if not values or not all(math.isfinite(value) for value in values):
        raise InputError("phase", found=f"--{name} {text!r}",
                         expected="START:STOP:COUNT, such as 0.5:5:10, with both ends among at "
                                  f"most {_MOST:,} values; or values with commas")
    return values
