"""Run the command line in this process, as ``main`` would, or in one of its own for Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from neurosparse.cli.app import main


@dataclass
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout as strict JSON: neither NaN nor Infinity."""

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


def run(*arguments: Any, err: io.StringIO | None = None) -> Done:
    """Run ``neurosparse ARGUMENTS`` here, without progress where they name none."""
    out, err = io.StringIO(), io.StringIO() if err is None else err
    quiet = [] if {"--help", "--progress"} & set(arguments) else ["--progress", "none"]
    argv = ["neurosparse", *map(str, arguments), *quiet]
    code: Any = 0
    with (mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out),
          contextlib.redirect_stderr(err)):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Done(int(code or 0), out.getvalue(), err.getvalue())


def refused(done: Done, *words: str) -> None:
    """Exit code 2, one line on stderr with these words, no traceback, nothing on stdout."""
    assert done.code == 2, (done.code, done.out, done.err)
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert len(lines) == 1, done.err
    assert "Traceback" not in done.err and done.out == ""
    for word in words:
        assert word in lines[0], lines[0]


def interrupted(*arguments: Any, after: str) -> Done:
    """Run in a process, send it one Ctrl-C once a line with ``after`` came, and wait."""
    argv = [sys.executable, "-m", "neurosparse", *map(str, arguments), "--progress", "lines"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout and job.stderr
        seen = []
        for line in job.stderr:
            seen.append(line)
            if after in line:
                break
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=120)
    return Done(job.returncode, out, "".join(seen) + err)


class _Stopper(io.StringIO):
    """A stderr that presses Ctrl-C once, when a line with ``after`` has been written."""

    def __init__(self, after: str) -> None:
        super().__init__()
        self.after = after
        self.pressed = False

    def write(self, text: str) -> int:
        count = super().write(text)
        if not self.pressed and text.endswith("\n") and self.after in self.getvalue():
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
        return count


def interrupted_here(*arguments: Any, after: str) -> Done:
    """As :func:`interrupted`, in this process: no start to wait for, and never too late.

    The signal is a real one; it comes at the line itself, where a parent that reads the lines of
    a loaded machine may press after the work is done.
    """
    err = _Stopper(after)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = run(*arguments, "--progress", "lines", err=err)
    finally:
        signal.signal(signal.SIGINT, before)
    assert err.pressed, done.err
    return done


def files(folder: Path) -> list[str]:
    """Names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def write_records(path: Path, text: str) -> None:
    """A text as JSON lines, a paragraph a record."""
    path.write_text("\n".join(json.dumps({"text": part}) for part in text.split("\n\n")))


def linked(shared: Path, own: Path, *names: str) -> Path:
    """A test's own folder, with links to what no test changes."""
    for name in names:
        (own / name).symlink_to(shared / name)
    return own
