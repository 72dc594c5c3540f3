"""The run record: what a command did, with what, on which machine, how long it took."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neurosparse._version import __version__
from neurosparse.errors import FormatError, InputError, ResumeError
from neurosparse.files import read_json, write_json

FORMAT = "neurosparse.run"
VERSION = 1
_RECORDED = ("numpy", "scipy", "h5py", "torch", "transformers", "safetensors", "gguf")


def peak_memory() -> int:
    """Largest resident size of this program so far, in bytes.

    Linux hands ``ru_maxrss`` on from the process that started this one; ``VmHWM`` begins anew.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions() -> dict[str, str]:
    """Versions of Python, neurosparse and the libraries whose numbers enter a result."""
    found = {"python": platform.python_version(), "neurosparse": __version__}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, operating system."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
    }


@dataclass
class RunRecord:
    """What one command did; ``run.json`` beside its results.

    ``timings`` are seconds by stage; ``results`` is the command's own table.
    """

    command: str
    arguments: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions)
    seeds: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine)
    level: str = ""
    threads: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    started: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    results: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of the body to ``timings[stage]``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self.timings[stage] = self.timings.get(stage, 0.0) + spent

    def write(self, path: str | Path) -> None:
        """Write the record as JSON, whole or not at all."""
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory())
        write_json(path, {"format": FORMAT, "version": VERSION, **asdict(self)})

    @classmethod
    def read(cls, path: str | Path) -> RunRecord:
        """Read a record.

        Raises
        ------
        FormatError
            It is not a run record of a version that is known.
        """
        raw = read_json(path)
        known = {"format": FORMAT, "version": VERSION}
        if not isinstance(raw, dict) or {key: raw.get(key) for key in known} != known:
            raise FormatError(f"read {path}", found="another kind or version of file",
                              expected=f"format {FORMAT!r}, version {VERSION}")
        fields = {k: v for k, v in raw.items() if k not in ("format", "version")}
        unknown = sorted(set(fields) - set(cls.__dataclass_fields__))
        if unknown:
            raise FormatError(f"read {path}", found=f"unknown fields {unknown}",
                              expected="the fields of a run record")
        return cls(**fields)


def record_beside(path: str | Path) -> Path:
    """Where the record of a command goes whose result is one file.

    Examples
    --------
    >>> str(record_beside("out/profile.h5"))
    'out/profile.run.json'
    """
    return Path(path).with_suffix(".run.json")


def check_same_run(path: str | Path, now: Mapping[str, Any]) -> None:
    """Refuse to go on with the work of another run.

    Parameters
    ----------
    path
        The fingerprint that the unfinished run has written: all that decides its result.
    now
        That of this run.

    Raises
    ------
    ResumeError
        Names the first thing that differs.
    """
    try:
        before = read_json(path)
    except InputError:
        before = {}
    check_same(before, now, Path(path).parent, run="unfinished")


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, *, run: str
               ) -> None:
    """Refuse one run in the place of another.

    Parameters
    ----------
    before, now
        All that decides the result of the run in ``folder``, and of this one.
    run
        ``"unfinished"`` or ``"finished"``.

    Raises
    ------
    ResumeError
        Names the first thing that differs.
    """
    plain = json.loads(json.dumps(now))  # as a file has it: tuples are lists
    differ = sorted(key for key in {*before, *plain} if before.get(key) != plain.get(key))
    if differ:
        key = differ[0]
        raise ResumeError(
            f"resume in {folder}",
            found=f"{key} {plain.get(key)!r} (and {len(differ) - 1} more differences)",
            expected=f"{key} {before.get(key)!r}, as in the {run} run",
            mend="Repeat the same command, or discard the "
                 f"{'results' if run == 'finished' else 'work'} with --overwrite.")
