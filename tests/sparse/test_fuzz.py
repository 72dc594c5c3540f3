"""Some hundred cases of the fuzz target; a soak runs it by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TARGET = Path(__file__).with_name("fuzz_packed.py")


@pytest.mark.slow
@pytest.mark.parametrize(("cases", "more"), [(2000, []), (150, ["--whole", "1"])])
def test_mutated_files_are_refused_or_multiply(cases: int, more: list[str]) -> None:
    done = subprocess.run([sys.executable, str(TARGET), "--cases", str(cases), *more],
                          capture_output=True, text=True, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0 and " 0 wrong" in done.stdout, done.stdout + done.stderr
    assert " 0 loaded" not in done.stdout and " 0 refused" not in done.stdout, done.stdout
