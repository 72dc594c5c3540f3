"""Triton's interpreter, in a process of its own: it is chosen before Triton is imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None,
                                  reason="not installed: triton")


def passes_in_the_interpreter(file: Path) -> None:
    """Run a file of tests under the interpreter; none may fail or be skipped."""
    if tuple(map(int, importlib.metadata.version("triton").split(".")[:2])) < (3, 7):
        pytest.skip("the interpreter of Triton before 3.7 does not know NumPy from 2.4 on")
    # One thread: the interpreter's products are too small for more, and other tests run beside.
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, env=environment, text=True,
                          capture_output=True, timeout=500)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout
