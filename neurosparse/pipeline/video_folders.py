"""Folders of results, looked at before anything is computed."""

from __future__ import annotations

from pathlib import Path

from neurosparse.errors import InputError


def check_folder(operation: str, path: str | Path, option: str) -> None:
    """Refuse a place that is no folder and cannot become one; nothing is made.

    Raises
    ------
    InputError
        It is a file, or lies below one.
    """
    whole = Path(path).absolute()
    nearest = next(place for place in (whole, *whole.parents) if place.exists())
    if not nearest.is_dir():
        raise InputError(operation, found=f"the file {nearest}", expected=f"a folder as {option}")
