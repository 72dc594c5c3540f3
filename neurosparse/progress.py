"""How long work says where it is.

A function that takes long has a keyword ``progress``: a callable ``progress(label, done, total)``.
The command line draws bars from it; in Python the default is silence.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def silent(label: str, done: int, total: int) -> None:
    """Report nothing."""
