"""Killed in the middle and resumed: the same files, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import tiny_text, write_tiny


def command(out: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "neurosparse", "compress", "model", "--sparsity", "0.6",
            "--calibration", "text.txt", "--out", out, "--window-length", "64", "--windows", "32",
            "--report-windows", "2", "--batch-size", "2", "--progress", "lines", *more]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "model", blocks=8, width=256)
    (tmp_path / "text.txt").write_text(tiny_text(12000))
    return tmp_path


def start(place: Path, out: str, *more: str) -> subprocess.Popen:
    return subprocess.Popen(command(out, *more), cwd=place, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "HF_HUB_OFFLINE": "1"})


def until(run: subprocess.Popen, place: Path, file: str) -> None:
    """Wait for a file of the work folder to appear while the run is alive."""
    limit = time.monotonic() + 240
    while not (place / file).exists():
        assert run.poll() is None, run.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.005)


def same(first: Path, second: Path) -> None:
    for file in sorted(p.relative_to(first) for p in (first / "model").rglob("*") if p.is_file()):
        assert (first / file).read_bytes() == (second / file).read_bytes(), file
    assert (first / "budget.json").read_bytes() == (second / "budget.json").read_bytes()
    with h5py.File(first / "profile.h5") as a, h5py.File(second / "profile.h5") as b:
        for name in ("curves/error", "depth/relative_error", "targets/norm"):
            assert np.array_equal(a[name][:], b[name][:]), name
    rows = [json.loads((folder / "run.json").read_text())["results"]["rows"]
            for folder in (first, second)]
    for one, two in zip(*rows, strict=True):
        assert one["nll_by_window"] == two["nll_by_window"]


@pytest.mark.slow
def test_sigkill_in_the_middle_of_pruning(place: Path) -> None:
    whole = start(place, "whole")
    assert whole.wait() == 0, whole.communicate()[1]
    cut = start(place, "cut")
    until(cut, place, "cut/.work/blocks/block-00003.safetensors")
    cut.send_signal(signal.SIGKILL)
    cut.communicate()
    assert [p.name for p in (place / "cut").iterdir()] == [".work"]
    assert not (place / "cut/.work/blocks/block-00007.safetensors").exists()

    refused = subprocess.run(command("cut"), cwd=place, capture_output=True, text=True)
    assert refused.returncode == 2 and "--resume" in refused.stderr
    other = subprocess.run([*command("cut", "--resume"), "--method", "magnitude"], cwd=place,
                           capture_output=True, text=True)
    assert other.returncode == 2 and "method" in other.stderr

    done = start(place, "cut", "--resume")
    assert done.wait() == 0, done.communicate()[1]
    assert not (place / "cut/.work").exists()
    same(place / "whole", place / "cut")


@pytest.mark.slow
def test_ctrl_c_leaves_finished_parts_and_code_130(place: Path) -> None:
    run = start(place, "stop")
    until(run, place, "stop/.work/blocks/block-00001.safetensors")
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate()
    assert run.returncode == 130, errors
    assert "--resume" in errors and "Traceback" not in errors
    assert [p.name for p in (place / "stop").iterdir()] == [".work"]
    parts = [p.name for p in (place / "stop").rglob("*") if p.name.endswith(".part")]
    assert parts == []


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_work_can_go_on(place: Path) -> None:
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6,) * 2);"
    limit += "sys.argv = ['neurosparse', *sys.argv[1:]];"
    limit += "runpy.run_module('neurosparse', None, '__main__')"
    full = subprocess.run([sys.executable, "-c", limit, *command("full")[3:]], cwd=place,
                          capture_output=True, text=True)
    assert full.returncode == 2, full.stderr
    last = full.stderr.splitlines()[-1]
    assert "full disk" in last and "Traceback" not in full.stderr
    assert [p.name for p in (place / "full").iterdir()] == [".work"]
    assert not [p for p in (place / "full").rglob("*") if p.name.endswith(".part")]
    assert start(place, "full", "--resume").wait() == 0
