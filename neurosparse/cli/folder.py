"""The folder of a theory command: what may lie in it, the record beside it, how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurosparse.errors import InputError, ResumeError
from neurosparse.files import check_can_hold
from neurosparse.records import RunRecord

RECORD = "run.json"


class Folder:
    """``--out`` of one command.

    Parameters
    ----------
    command
        Its name.
    out
        The folder.
    identity
        Arguments that results depend on; the same in every part of a run that is resumed.
    more
        Other arguments, for the record.
    products
        Globs of what the command writes.
    resume, overwrite
        As asked.

    Raises
    ------
    InputError
        The folder holds results and neither was asked for.
    StorageError
        It is a file, or may not be written.
    ResumeError
        What lies there was made with other arguments.
    """

    def __init__(self, command: str, out: str, identity: dict[str, Any], more: dict[str, Any], *,
                 products: Sequence[str], resume: bool, overwrite: bool) -> None:
        self.path = Path(out)
        self.operation = command
        self.going_on = False
        check_can_hold(self.path)
        if resume and overwrite:
            raise InputError(command, found="--resume with --overwrite", expected="one of them")
        found = [file for pattern in products for file in sorted(self.path.glob(pattern))]
        self._replaced = found if overwrite else []
        if found and not overwrite and not resume:
            raise InputError(command, found=f"results in {self.path}", expected="an empty folder",
                             mend="Name another with --out, go on with --resume, or replace them "
                             "with --overwrite.")
        if found and resume:
            self._compare(identity)
            self.going_on = True
        self.record = RunRecord(command, arguments={**identity, **more},
                                seeds={"seed": identity.get("seed")})
        if "sha256" in identity:
            self.record.data = {"couplings": identity["couplings"], "sha256": identity["sha256"]}

    def _compare(self, identity: dict[str, Any]) -> None:
        operation = f"resume in {self.path}"
        if not (self.path / RECORD).is_file():
            raise ResumeError(operation, found=f"results without {RECORD}",
                              expected="the record of the run that made them")
        before = RunRecord.read(self.path / RECORD)
        if before.command != self.operation:
            raise ResumeError(operation, found=f"results of {before.command!r}",
                              expected=f"results of {self.operation!r}")
        for name, value in identity.items():
            # a copy of the couplings elsewhere is the same couplings: the hash decides
            if name != "couplings" and before.arguments.get(name) != value:
                raise ResumeError(
                    operation, found=f"{name} {value!r}",
                    expected=f"{name} {before.arguments.get(name)!r}, as in the run there",
                    mend="Give the same options, or another --out.")

    def begin(self) -> None:
        """Remove what ``overwrite`` replaces: before the first file, with nothing left to refuse.

        Called again it does nothing.
        """
        for file in self._replaced:
            file.unlink(missing_ok=True)
        self._replaced = []

    def write(self, results: dict[str, Any]) -> None:
        """Write the record, with the results so far."""
        from neurosparse import kernels

        self.record.level, self.record.threads = kernels.level(), kernels.threads()
        self.record.results = results
        self.record.write(self.path / RECORD)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a stage for the record."""
        with self.record.timed(stage):
            yield

    def figure(self, kind: str, name: str, draw: Any) -> str | None:
        """Save ``draw()`` as ``name.kind``, whole or not at all; its path, None if not wanted."""
        if kind == "none":
            return None
        from neurosparse.files import write_whole

        target = self.path / f"{name}.{kind}"
        with write_whole(target) as beside:
            draw().savefig(beside, format=kind)
        return str(target)


def check_figure(kind: str) -> None:
    """Refuse a kind of file that figures are not written in.

    Raises
    ------
    InputError
        It is none of pdf, png, svg, none.
    """
    if kind not in ("pdf", "png", "svg", "none"):
        raise InputError("figure", found=f"--figure {kind}", expected="pdf, png, svg or none")
