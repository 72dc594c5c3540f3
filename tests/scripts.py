"""Scripts of the house run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys


def said_by(*words: str) -> str:
    """What a script of Python prints; it must end well."""
    # Small models: two threads wait for each other where others use the cores.
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=600,
                          check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
