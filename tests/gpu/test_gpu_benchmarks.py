"""benchmarks/gpu: the small forms, the code for a card on a fake one, and what is said without."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GPU = ROOT / "benchmarks" / "gpu"
sys.path.insert(0, str(HERE))
from gpu_scripts import module  # noqa: E402


def in_its_own_process(name: str, which: str = "", **environment: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / name),
               "-k", which]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=580,
                          check=False, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="not installed: triton")
def test_the_small_forms() -> None:
    assert " skipped" not in in_its_own_process("small_forms.py", TRITON_INTERPRET="1")


@pytest.mark.slow
@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is built with CUDA")
@pytest.mark.parametrize("which", ["script", "not script"])
def test_on_a_card_that_is_not_there(which: str) -> None:
    assert " passed" in in_its_own_process("fake_card.py", which)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_card_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    card = module("card")
    assert card.script(lambda where: [], "x", []) == 2
    assert module("run_all").main(["--out", "nowhere/gpu.json"]) == 2
    said = capsys.readouterr()
    assert said.err.count("CUDA") >= 2 and "--small" in said.err and not said.out


def test_a_line_has_its_ratio_floor_and_verdict() -> None:
    row = module("card").Row("a product", 15.0, "us", 33.0, 12.0, ">= 2x", True, 1e-3)
    words = row.text().split()
    assert row.ratio == 2.2 and "80%" in words and words[-1] == "reached" and "1.0e-03" in words
    row.met = False
    assert row.text().split()[-1] == "MISSED"


def test_the_verdict_of_a_product() -> None:
    verdict = module("bench_gemv").verdict
    assert verdict("bf16", 0.7, 1, 2.1, 2.75) == (">= 2x and 70% of 2.75x", True)
    assert verdict("bf16", 0.7, 1, 1.95, 2.75)[1] is False
    assert verdict("bf16", 0.7, 1, 2.05, 3.0)[1] is False  # 70 % of that ceiling is 2.1
    assert verdict("bf16", 0.6, 1, 9.0, 2.0) == ("", None)


def test_copies_outgrow_the_cache() -> None:
    class Card:
        cache, small = 50 << 20, False

    copies = module("graphs").copies_of
    assert copies(Card, 30 << 20) == 5 and copies(Card, 1 << 30) == 4


def test_what_was_measured_is_kept_and_shown(tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    run_all, card = module("run_all"), module("card")
    path = tmp_path / "gpu.json"
    row = {"what": "a product", "ours": 1.0, "unit": "us", "times": 2.0, "against": 2.0}
    path.write_text(json.dumps({"gemv": {
        "card": "a card", "small": False, "versions": card.versions(), "rows": [row]}}))
    table = json.loads(path.read_text())
    assert run_all.known(table, "gemv", small=False)
    assert not run_all.known(table, "gemv", small=True)
    assert not run_all.known(table, "decode", small=False)
    assert run_all.main(["--show", "--out", str(path)]) == 0
    assert "a card" in (said := capsys.readouterr().out) and "a product" in said
    table["decode"] = {"failed": "exit code 1 after 3 s", "rows": []}
    path.write_text(json.dumps(table))
    assert run_all.main(["--show", "--out", str(path)]) == 1
    assert "decode: FAILED" in capsys.readouterr().out


def test_every_script_is_in_the_run() -> None:
    there = {path.stem.removeprefix("bench_") for path in GPU.glob("bench_*.py")}
    assert there == set(module("run_all").SCRIPTS)
