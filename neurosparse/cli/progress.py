"""Progress on stderr: bars on a terminal, lines for a parent process, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from neurosparse.progress import Progress, silent


@contextmanager
def shown(how: str) -> Iterator[Progress]:
    """A ``progress`` callable.

    Parameters
    ----------
    how
        ``auto`` (bars on a terminal, else a line every ten seconds), ``lines`` (tab-separated,
        for a parent process), ``none``.
    """
    if how == "none":
        yield silent
    elif how == "lines":
        yield _machine_line
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield _slow_lines()


def _machine_line(label: str, done: int, total: int) -> None:
    print(f"progress\t{label}\t{done}\t{total}", file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=False) as bars:
        tasks: dict[str, object] = {}

        def progress(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)  # type: ignore[arg-type]

        yield progress


def _slow_lines(every: float = 10.0) -> Progress:
    last: dict[str, float] = {}

    def progress(label: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - last.get(label, -every) >= every:
            last[label] = now
            print(f"{label}: {done} of {total}", file=sys.stderr, flush=True)

    return progress
