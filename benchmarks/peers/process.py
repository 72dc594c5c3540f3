"""The driver's side of a worker: one process, asleep while others have their turn."""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def _die_with_parent() -> None:
    """So that no stopped worker keeps its gigabytes when the driver is killed (Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class PeerFailed(Exception):
    """A peer did not answer, or answered with an error; says why in one line."""


class Worker:
    """A peer in its own environment.

    Between two requests the process is stopped (SIGSTOP), so that threads which wait for work by
    spinning take no core from the one whose turn it is.

    Parameters
    ----------
    python
        Of the peer's environment.
    module
        Of this package.
    options
        For the worker.
    log
        Gets its standard error.
    """

    def __init__(self, python: Path | str, module: str, options: dict[str, Any], log: Path) -> None:
        self.log = log
        threads = str(options["threads"])
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                 "NEUROSPARSE_THREADS")
        # DeepSparse would report its use to its makers.
        environment = {**os.environ, **dict.fromkeys(names, threads),
                       "NM_DISABLE_ANALYTICS": "True"}
        with log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [str(python), "-m", f"peers.{module}", json.dumps(options)], cwd=HERE.parent,
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, bufsize=1, preexec_fn=_die_with_parent)
        try:
            found = self._answer(120)
        except PeerFailed:
            self.close()
            raise
        self.version: str = found["version"]
        self.cases: list[str] = found["cases"]

    def ask(self, request: dict[str, Any], patience: float) -> dict[str, Any]:
        """One request, answered within ``patience`` seconds.

        Raises
        ------
        PeerFailed
            It takes longer, the process ended, or the answer is an error.
        """
        if self.process.poll() is not None or self.process.stdin is None:
            raise PeerFailed(self._end())
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
        except OSError:
            raise PeerFailed(self._end()) from None
        return self._answer(patience)

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def _answer(self, patience: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(patience):
                self.close()
                raise PeerFailed(f"no answer within {patience:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise PeerFailed(self._end())
        found: dict[str, Any] = json.loads(line)
        self.process.send_signal(signal.SIGSTOP)
        if "error" in found:
            raise PeerFailed(found["error"])
        return found

    def _end(self) -> str:
        """Why the process is gone: its last words."""
        self.close()
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        told = [line for line in lines if "rror" in line or line.startswith("Assert")]
        words = (told or [line for line in lines if line] or ["without a word"])[-1]
        return f"process ended with {self.process.returncode}: {words[:200]} ({self.log})"
