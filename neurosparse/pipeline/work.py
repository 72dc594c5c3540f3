"""The work folder: what is finished of a run, so that ``--resume`` can go on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from neurosparse.errors import InputError
from neurosparse.files import check_can_hold, read_json, translated_errors, write_json
from neurosparse.records import check_same_run

NAME = ".work"
# What a finished run leaves in the folder; nothing of it appears before all of it is there.
PRODUCTS = ("model", "dense", "profile.h5", "budget.json", "run.json", "report.html")


class Work:
    """``out/.work``: a fingerprint of the run, notes of finished stages, products in waiting.

    Parameters
    ----------
    folder
        The run's ``out``.
    fingerprint
        All that decides the result; a resumed run must have the same.
    resume
        Go on with what is there; start anew where nothing is.
    overwrite
        Discard what is there.

    Raises
    ------
    InputError
        The folder holds results or unfinished work, and neither was asked for.
    ResumeError
        The unfinished work belongs to another run.
    StorageError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any], *, resume: bool = False,
                 overwrite: bool = False) -> None:
        self.out = folder
        self.folder = folder / NAME
        check_folder(folder, resume=resume, overwrite=overwrite)
        if self.in_folder(folder) and not overwrite:
            self.check_same(folder, fingerprint)
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with translated_errors(folder):
            self.folder.mkdir(parents=True)
        write_json(self.folder / "fingerprint.json", fingerprint)

    @staticmethod
    def in_folder(folder: Path) -> bool:
        """Whether a folder holds unfinished work."""
        return (folder / NAME).exists()

    @staticmethod
    def check_same(folder: Path, fingerprint: dict[str, Any]) -> None:
        """Refuse to go on with the work of another run.

        Raises
        ------
        ResumeError
            Names the first thing that differs.
        """
        check_same_run(folder / NAME / "fingerprint.json", fingerprint)

    def path(self, name: str) -> Path:
        """A file or folder in waiting."""
        return self.folder / name

    def note(self, stage: str, value: Any) -> None:
        """Write down that a stage is finished, with its result (JSON)."""
        write_json(self.folder / f"{stage}.done.json", value)

    def noted(self, stage: str) -> Any | None:
        """Result of a finished stage, or ``None``."""
        path = self.folder / f"{stage}.done.json"
        return read_json(path) if path.is_file() else None

    def deliver(self) -> None:
        """Move the products to their places, the report last, and remove the work folder."""
        with translated_errors(self.out):
            for name in PRODUCTS:
                source, place = self.folder / name, self.out / name
                if place.is_dir():
                    shutil.rmtree(place)
                elif place.exists() and not source.exists():
                    place.unlink()
                if source.exists():
                    os.replace(source, place)
            shutil.rmtree(self.folder)


def check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Whether a run may put its results here; nothing is written to find out.

    Raises
    ------
    InputError
        The folder holds results or unfinished work, and neither was asked for.
    StorageError
        It cannot be made or written.
    """
    check_can_hold(folder)
    with translated_errors(folder):
        unfinished = Work.in_folder(folder)
        results = any((folder / name).exists() for name in PRODUCTS)
    if overwrite:
        return
    if unfinished and not resume:
        raise InputError("compress", found=f"unfinished work in {folder}",
                         expected="an empty folder",
                         mend="Go on with --resume, or discard it with --overwrite.")
    if results and not unfinished:
        raise InputError("compress", found=f"results in {folder}", expected="an empty folder",
                         mend="Name another with --out, or replace them with --overwrite.")
