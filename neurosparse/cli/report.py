"""``neurosparse report``."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    folder: Annotated[str, typer.Argument(help="Folder with run.json, budget.json, profile.h5.")],
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Write report.html anew from a run's files."""
    from neurosparse import report

    print(report.write(folder))
