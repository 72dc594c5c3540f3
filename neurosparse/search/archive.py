"""The archive of a search: append-only, each line on the disk before the next is worked for.

It is the cache too: what is in it is never evaluated again, whichever run paid for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from neurosparse.files import translated_errors, write_whole
from neurosparse.search.lines import FORMAT, VERSION, Asked, Entry, Lines, dumped, loaded
from neurosparse.search.lock import Lock
from neurosparse.search.space import Space


class Archive:
    """Open for one writer; a context manager.

    Parameters
    ----------
    path
        None keeps it in memory.
    space
        What is searched; its model is compared too.
    about
        What else the values depend on (metric, text, windows); JSON.

    Raises
    ------
    ResumeError
        Another program writes the file, or it is that of another space, model or fitness.
    FormatError
        The file is no archive.
    StorageError
        The disk is full, or the folder cannot be written.
    """

    def __init__(self, path: str | Path | None, space: Space,
                 about: Mapping[str, Any] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.header = {
            "format": FORMAT, "version": VERSION, "space": space.identity(),
            "model": None if space.model is None else space.model.model_dump(),
            # As a reader will find it: tuples become lists.
            "about": json.loads(json.dumps(dict(about or {}), allow_nan=False)),
        }
        self.lines = Lines()
        self._file: IO[bytes] | None = None
        self._lock: Lock | None = None
        if self.path is not None:
            self._lock = Lock(self.path)
            try:
                self._open(self.path)
            except BaseException:
                self.close()
                raise

    def _open(self, path: Path) -> None:
        if not path.exists() or path.stat().st_size == 0:
            # Whole or not at all: a header is never torn.
            with write_whole(path) as beside:
                beside.write_bytes(dumped(self.header))
        self.lines, self._end = loaded(path, self.header)
        with translated_errors(path):
            self._file = path.open("r+b", buffering=0)
            self._cut()

    def _cut(self) -> None:
        """Drop what lies behind the last whole line."""
        assert self._file is not None
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def entry(self, key: str, fidelity: int) -> Entry | None:
        """What is known of a configuration."""
        return self.lines.entries.get((key, fidelity))

    def batches(self, run: str) -> list[Asked]:
        """What the proposer of a run has asked so far."""
        return self.lines.batches.get(run, [])

    def begin(self, run: str, description: Mapping[str, Any]) -> None:
        """Note a run; nothing happens where it is known."""
        if run not in self.lines.runs:
            self._write({"line": "run", "run": run, "search": dict(description)})

    def ask(self, batch: Asked) -> None:
        """Note a batch before it is evaluated."""
        self._write({"line": "asked", "run": batch.run, "configurations": batch.configurations,
                     "notes": batch.notes})

    def add(self, entry: Entry) -> None:
        """Note what an evaluation gave."""
        self._write({"line": "value", "run": entry.run, "key": entry.key,
                     "fidelity": entry.fidelity, "value": entry.value, "reason": entry.reason})

    def _write(self, item: dict[str, Any]) -> None:
        row = dumped(item)
        if self._file is not None and self.path is not None:
            with translated_errors(self.path):
                try:
                    # Unbuffered writes may be short: go on until the whole line is there.
                    rest = memoryview(row)
                    while rest:
                        rest = rest[self._file.write(rest):]
                    os.fsync(self._file.fileno())
                except BaseException:
                    self._cut()
                    raise
                self._end += len(row)
        # Read back, so that a resumed run starts from the very same numbers.
        self.lines.take(json.loads(row))

    def close(self) -> None:
        """Close the file and give back the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def read_archive(path: str | Path) -> Lines:
    """Read an archive without locking it: also while a search writes it.

    Raises
    ------
    FormatError
        The file is no archive.
    OSError
        There is none.
    """
    return loaded(Path(path), None)[0]
