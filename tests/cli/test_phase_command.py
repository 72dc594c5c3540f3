"""``neurosparse phase``: the sweep, its file, and going on with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_runner import files, interrupted, refused, run

from neurosparse.cli.axis import read_axis
from neurosparse.errors import InputError
from neurosparse.lyapunov.phase import phase_diagram
from neurosparse.lyapunov.phase_result import PhaseDiagram
from neurosparse.sweeps import SweepResult

SMALL = ("--gains", "0.5,2", "--gammas", "0:1:2", "--n", 16, "--draws", 2, "--duration", 24,
         "--windows", 2)


def test_the_same_as_the_room(tmp_path: Path) -> None:
    done = run("phase", *SMALL, "--workers", 0, "--seed", 1, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    wanted = phase_diagram([0.5, 2.0], [0.0, 1.0], n=16, draws=2, duration=24, windows=2,
                           couplings={"symmetry": 0.0, "sparsity": 0.0}, seed=1, workers=0)
    np.testing.assert_array_equal(done.json["exponent"], wanted.exponent)
    np.testing.assert_array_equal(PhaseDiagram.load(tmp_path / "phase.h5").exponents,
                                  wanted.exponents)
    assert files(tmp_path) == ["phase.h5", "phase.pdf", "run.json", "sweep.h5"]
    refused(run("phase", *SMALL, "--workers", 0, "--seed", 1, "--out", tmp_path), "results in",
            "--resume")
    refused(run("phase", *SMALL, "--workers", 0, "--seed", 2, "--out", tmp_path, "--resume"),
            "seed 2")
    again = run("phase", *SMALL, "--workers", 0, "--seed", 1, "--out", tmp_path, "--resume",
                "--figure", "none")
    assert again.code == 0 and "regime" in again.out, again.err
    assert "gamma 1" in again.out and "null" in again.out


@pytest.mark.parametrize(("text", "values"), [
    ("0:1:3", [0, 0.5, 1]), ("2", [2]), ("1,0.5", [1, 0.5]), ("3:3:1", [3]), ("-1:1:2", [-1, 1]),
])
def test_an_axis(text: str, values: list[float]) -> None:
    assert read_axis("gains", text) == values


@pytest.mark.parametrize("text", ["", "a", "0:1", "0:1:0", "0:1:-2", "0:1:2.5", "1:2:3:4", "nan",
                                  "0:inf:3", "1,,2", "0:1:1", "0:1:1000000000"])
def test_no_axis(text: str) -> None:
    with pytest.raises(InputError, match="START:STOP:COUNT"):
        read_axis("gains", text)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = run("phase", "--dry-run", "--json", "--out", tmp_path / "o")
    assert done.code == 0, done.err
    assert done.json["runs"] == 240 and done.json["seconds"] > 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--gains", "0.5:5"], ["0.5:5", "START:STOP:COUNT"]),
    (["--gains", "-1:5:3"], ["-1"]),
    (["--gammas", "0:nan:2"], ["gammas"]),
    (["--n", 0], ["n"]),
    (["--k", 300], ["k", "200"]),
    (["--draws", 0], ["draws"]),
    (["--duration", 0], ["duration"]),
    (["--windows", 100, "--duration", 8], ["windows = 100", "a step"]),
    (["--phi", "relu2"], ["relu2"]),
    (["--symmetry", 2], ["symmetry"]),
    (["--method", "magic"], ["magic"]),
    (["--workers", -1], ["workers -1"]),
    (["--seed", -1], ["--seed"]),
])
def test_wrong_input_is_one_line(arguments: list[object], words: list[str], tmp_path: Path) -> None:
    refused(run("phase", *arguments, "--out", tmp_path / "never"), *words)
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
def test_ctrl_c_keeps_points_and_resume_goes_on(tmp_path: Path) -> None:
    options = ["phase", "--gains", "1:2:6", "--gammas", "0,0.5", "--n", 60, "--draws", 4,
               "--duration", 60, "--workers", 1, "--out", tmp_path]
    stopped = interrupted(*options, after="progress\tsweep\t2\t")
    assert stopped.code == 130 and "Traceback" not in stopped.err, stopped.err
    kept = SweepResult.load(tmp_path / "sweep.h5")
    assert 2 <= kept.done.sum() < 48
    done = run(*options, "--resume", "--json")
    assert done.code == 0, done.err
    assert np.isfinite(done.json["exponent"]).all()
