"""``neurosparse simulate``: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_runner import files, interrupted, refused, run

from neurosparse import dynamics


def test_the_same_as_the_room(tmp_path: Path) -> None:
    done = run("simulate", "--n", 30, "--gamma", 1, "--gain", 1.5, "--duration", 6, "--seed", 4,
               "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    flow = dynamics.Flow(dynamics.gaussian_couplings(30, 1.5, seed=4), gamma=1.0)
    wanted = dynamics.simulate(flow, duration=6, record_every=0.5, seed=4)
    with dynamics.Trajectory.load(tmp_path / "o" / "trajectory.h5") as kept:
        np.testing.assert_array_equal(kept.states[:], wanted.states)
        np.testing.assert_array_equal(kept.times, wanted.times)
    energies = [row["energy"] for row in done.json["table"]]
    assert energies == sorted(energies, reverse=True)
    assert done.json["records"] == 13
    assert files(tmp_path / "o") == ["run.json", "trajectory.h5", "trajectory.pdf"]
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert record["command"] == "simulate" and record["results"]["status"] == "finished"


@pytest.mark.parametrize("arguments", [
    ["--map", 0.5], ["--temperature", 0.1], ["--method", "adaptive"], ["--sparsity", 0.8],
    ["--symmetry", 0.5, "--phi", "erf"], ["--ensemble", "ei", "--dale", "strict"],
    ["--ensemble", "ei", "--zero-row-sums", "--sparsity", 0.2],
])
def test_every_kind_of_network_runs(arguments: list[object], tmp_path: Path) -> None:
    done = run("simulate", "--n", 20, "--duration", 4, *arguments, "--out", tmp_path, "--figure",
               "none")
    assert done.code == 0, done.err
    assert "finished" in done.out and "E/N" in done.out
    assert files(tmp_path) == ["run.json", "trajectory.h5"]


@pytest.mark.parametrize(("arguments", "times"), [
    (["--duration", 6.3], (0.0, 6.3)), (["--duration", 7.3, "--transient", 1], (1.0, 7.3)),
    (["--duration", 6.3, "--dt", 0.03], (0.0, 6.3)), (["--duration", 0.2], (0.0, 0.2)),
    (["--duration", 7, "--map", 1], (0.0, 7.0)),
])
def test_the_default_interval_fits_every_duration(arguments: list[object],
                                                  times: tuple[float, float],
                                                  tmp_path: Path) -> None:
    done = run("simulate", "--n", 10, *arguments, "--out", tmp_path, "--figure", "none", "--json")
    assert done.code == 0, done.err
    with dynamics.Trajectory.load(tmp_path / "trajectory.h5") as kept:
        found = np.array(kept.times)
    np.testing.assert_allclose(found[[0, -1]], times, rtol=1e-9)
    assert np.diff(found).max() <= (1.0 if "--map" in arguments else 0.5) + 1e-9
    assert found.size == done.json["records"]


def test_divergence_is_exit_code_3(tmp_path: Path) -> None:
    done = run("simulate", "--n", 10, "--gain", 30, "--phi", "linear", "--duration", 200, "--out",
               tmp_path)
    assert done.code == 3 and "diverged at time" in done.out, done.err
    with dynamics.Trajectory.load(tmp_path / "trajectory.h5") as kept:
        assert kept.status == "diverged" and np.isfinite(kept.states[:]).all()


def test_results_are_not_overwritten_unasked(tmp_path: Path) -> None:
    options = ["simulate", "--n", 10, "--duration", 2, "--out", tmp_path, "--figure", "none"]
    assert run(*options).code == 0
    refused(run(*options), "results in", "--overwrite")
    assert run(*options, "--overwrite").code == 0


@pytest.mark.parametrize(("options", "wrong"), [
    (["simulate", "--n", 10, "--duration", 2], ["--n", 3_000_000]),
    (["spectrum", "--n", 10, "--k", 1, "--duration", 5], ["--n", 3_000_000]),
    (["meanfield", "--two-time", "--symmetry", 0.3, "--trajectories", 256, "--duration", 0.2],
     ["--trajectories", -1]),
])
def test_results_stay_where_the_run_that_replaces_them_is_refused(
        options: list[object], wrong: list[object], tmp_path: Path) -> None:
    options = [*options, "--out", tmp_path, "--figure", "none"]
    assert run(*options).code == 0
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    refused(run(*options, *wrong, "--overwrite"), "expected")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = run("simulate", "--n", 10000, "--duration", 5000, "--dry-run", "--json", "--out",
               tmp_path / "o")
    assert done.code == 0, done.err
    # 10001 records of 10^4 doubles, J itself, and no more memory than a few of them
    assert done.json["disk_bytes"] == pytest.approx(8e8, rel=0.01)
    assert 0.8e9 <= done.json["memory_bytes"] <= 2e9 and done.json["seconds"] > 10
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--duration", 0], ["duration"]),
    (["--duration", 5, "--transient", 6], ["transient"]),
    (["--dt", -0.1], ["dt"]),
    (["--dt", 0.3, "--record-every", 0.5], ["record_every"]),
    (["--record-every", 0], ["record_every"]),
    (["--method", "magic"], ["magic", "rk4"]),
    (["--method", "stiff", "--temperature", 1], ["stiff", "heun"]),
    (["--map", 1, "--temperature", 1], ["--temperature 1 with --map"]),
    (["--map", 1, "--duration", 2.5], ["duration 2.5"]),
    (["--map", 1, "--record-every", 2.5], ["record_every 2.5"]),
    (["--duration", 10, "--record-every", 20], ["Take duration 20"]),
    (["--duration", 1, "--dt", 0.3], ["duration 0.9 or 1.2"]),
    (["--n", -3], ["n -3"]),
    (["--n", 2_000_000], ["GB"]),
    (["--gamma", "inf"], ["gamma inf"]),
    (["--seed", -1], ["--seed"]),
])
def test_wrong_input_is_one_line(arguments: list[object], words: list[str], tmp_path: Path) -> None:
    out = tmp_path / "never"
    refused(run("simulate", *arguments, "--out", out), *words)
    assert not out.exists()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    options = ["simulate", "--n", 200, "--duration", 100000, "--out", tmp_path]
    stopped = interrupted(*options, after="progress\tsimulate\t")
    assert stopped.code == 130 and "Traceback" not in stopped.err, stopped.err
    assert not list(tmp_path.glob(".*"))
    for kept in tmp_path.glob("trajectory.h5"):
        with dynamics.Trajectory.load(kept) as found:
            assert found.status == "interrupted" and len(found.times) == len(found.states)
