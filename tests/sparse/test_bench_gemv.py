"""benchmarks/gpu/bench_gemv.py: what it prints, and what it says where there is no card."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

_PATH = Path(__file__).parent.parent.parent / "benchmarks" / "gpu" / "bench_gemv.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gemv", _PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_gemv", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_card_it_says_so(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--quick"]) == 2
    said = capsys.readouterr()
    assert "CUDA" in said.err and "test_triton.py" in said.err and not said.out


def test_a_line_has_its_ratio_and_verdict(bench: ModuleType) -> None:
    row = bench.Row((11008, 4096), 1, "bf16", 0.7, 15.0, 33.0, 2.75, 2000.0, 1e-3, 1e-3)
    words = row.text().split()
    assert row.ratio == 2.2 and words[-2:] == ["2.0", "reached"] and "80%" in words
    row.microseconds = 20.0
    assert row.text().split()[-1] == "missed"
    assert len(bench.HEAD.split()) == 13  # "of it" is one column


def test_copies_outgrow_the_cache(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        L2_cache_size = 50 << 20

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card)
    assert bench.copies_of(30 << 20) == 5 and bench.copies_of(1 << 30) == 4
