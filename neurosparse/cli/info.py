"""``neurosparse info``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from neurosparse.records import machine, versions


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Instruction level, threads, versions and build flags."""
    from neurosparse import kernels

    found = {"level": kernels.level(), "levels": list(kernels.levels()),
             "threads": kernels.threads(), "versions": versions(), "machine": machine(),
             "build": kernels.build_config()}
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, item in value.items():
                print(f"  {key:<16} {item}")
        else:
            print(f"{name:<9} {' '.join(value) if isinstance(value, list) else value}")
