"""The small form of every GPU benchmark on the CPU, kernels in Triton's interpreter.

Run by test_gpu_benchmarks.py in a process of its own: see tests/sparse/interpreted_triton.py.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from gpu_scripts import NAMES, module


@pytest.mark.parametrize("name", NAMES)
def test_the_small_form(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, path = module(name), tmp_path / "rows.json"
    code = module("card").script(script.measure, script.__doc__,
                                   ["--small", "--out", str(path)])
    said, found = capsys.readouterr().out, json.loads(path.read_text())
    assert code == 0 and "small shapes: no result" in said
    assert found["small"] and found["rows"] and found["versions"]["torch"]
    assert found["ceilings"]["bytes_per_s"] > 0
    for row in found["rows"]:
        assert row["what"] in said and row["met"] is None
        assert math.isfinite(row["ours"]) and row["ours"] >= 0
        # bf16 products against float64; what int8 values cost is not among these.
        assert row["error"] is None or row["error"] < 2e-2
