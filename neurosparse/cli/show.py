"""How the theory commands speak: plans, tables, JSON, warnings as one line."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from neurosparse.cli.cost import Cost


def plain(value: Any) -> Any:
    """``value`` as JSON has it; NaN is null, an infinity its name."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def print_json(value: Any) -> None:
    """Print JSON, and nothing else, on stdout."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False))


def print_plan(lines: Sequence[str], cost: Cost, details: dict[str, Any], *, as_json: bool) -> None:
    """Say what would be done and what it would cost."""
    if as_json:
        print_json({**details, **cost.as_dict()})
        return
    print("\n".join(lines))
    print(f"time   about {duration(cost.seconds)}\nmemory about {size(cost.memory_bytes)}\n"
          f"disk   about {size(cost.disk_bytes)}\nNothing was run or written.")


def duration(seconds: float) -> str:
    """Seconds for a person."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 9.5 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def size(count: float) -> str:
    """Bytes for a person."""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def with_error(value: float, error: float | None) -> str:
    """A value to the digits of its error."""
    if error is None or not math.isfinite(error) or error <= 1e-10 * abs(value):
        return f"{value:.6g}"
    digits = min(12, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table without lines: names on the left, numbers on the right."""
    console = Console()
    console.print(f"\n[bold]{title}[/bold]" if title else "", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(heads))
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    width = max(len(name) for name, _ in facts)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in facts))


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Warnings as one line on stderr, without the place in our code that raised them."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        print(f"neurosparse: warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        finally:
            warnings.showwarning = before
