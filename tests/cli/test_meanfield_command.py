"""``neurosparse meanfield``: numbers with known values, functions in files, refusals."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from cli_runner import files, refused, run


def test_the_vanilla_network_at_g_2(tmp_path: Path) -> None:
    done = run("meanfield", "--gain", 2, "--json", "--out", tmp_path)
    assert done.code == 0, done.err
    # rows 21 and 22 of numerics.md 1.6 carry the tolerances; here the wiring counts
    assert done.json["critical_gain"] == pytest.approx(1.0, abs=1e-9)
    assert done.json["state"] == "chaotic" and 0.11 < done.json["max_exponent"] < 0.115
    assert files(tmp_path) == ["run.json", "stationary.h5", "stationary.pdf"]
    with h5py.File(tmp_path / "stationary.h5") as file:
        assert file["autocovariance"][0] == pytest.approx(done.json["variance"], rel=1e-12)
        assert file.attrs["gain"] == 2.0
    refused(run("meanfield", "--out", tmp_path), "results in", "--overwrite")


def test_nothing_is_written_without_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("meanfield", "--gain", 0.5, "--phi", "erf")
    assert done.code == 0 and "critical gain" in done.out and "rest" in done.out, done.err
    assert files(tmp_path) == []


def test_the_map_at_delta_1_with_its_density() -> None:
    done = run("meanfield", "--gain", 3, "--delta", 1, "--density", "--json")
    assert done.code == 0, done.err
    assert 0 < done.json["kaplan_yorke"] < 1 and done.json["entropy_rate"] > 0
    assert done.json["method"] == "exact"
    text = run("meanfield", "--gain", 3, "--delta", 1, "--density").out
    assert "Kaplan-Yorke dimension / N" in text


def test_two_times_of_a_linear_network_without_coupling(tmp_path: Path) -> None:
    done = run("meanfield", "--gain", 0, "--phi", "linear", "--two-time", "--duration", 2, "--dt",
               0.02, "--out", tmp_path, "--json", "--figure", "none")
    assert done.code == 0, done.err
    found = done.json["two_time"]
    times = np.array(found["times"])
    np.testing.assert_allclose(found["variance"], np.exp(-2 * times), atol=1e-3)
    np.testing.assert_allclose(found["covariance"], np.exp(-times), atol=1e-3)
    assert "two_time.h5" in files(tmp_path)


def test_two_times_of_the_regulated_flow() -> None:
    options = ["meanfield", "--gain", 0.5, "--phi", "linear", "--gamma", 1, "--two-time",
               "--duration", 2]
    done = run(*options, "--json")
    assert done.code == 0, done.err
    energy = done.json["two_time"]["energy"]
    assert energy == sorted(energy, reverse=True) and energy[0] > 2 * energy[-1] > 0
    text = run(*options).out
    assert "E/N" in text and "Two-time theory" in text


def test_a_dry_run_solves_nothing(tmp_path: Path) -> None:
    done = run("meanfield", "--density", "--two-time", "--dry-run", "--json", "--out",
               tmp_path / "o")
    assert done.code == 0 and done.json["seconds"] > 1, done.err
    assert "variance" not in done.json and not (tmp_path / "o").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--gain", -1], ["gain -1"]),
    (["--gain", "nan"], ["gain nan"]),
    (["--phi", "sine"], ["sine", "tanh"]),
    (["--delta", 2], ["delta 2"]),
    (["--noise", -1], ["noise -1"]),
    (["--gain", 3, "--phi", "relu"], ["relu", "bounded"]),
    (["--gamma", 1], ["--gamma 1", "--two-time"]),
    (["--symmetry", 0.5, "--density", "--two-time"], ["--symmetry 0.5"]),
    (["--delta", 0.5, "--two-time"], ["--delta 0.5 with --two-time"]),
    (["--two-time", "--dt", 0], ["dt 0"]),
    (["--two-time", "--dt", 0.1, "--duration", 2.03], ["duration 2.03", "such as 2"]),
    (["--two-time", "--symmetry", 3], ["symmetry 3"]),
    (["--density", "--paths", 7], ["7"]),
    (["--density", "--window", -1], ["window"]),
    (["--figure", "bmp"], ["bmp"]),
])
def test_wrong_input_is_one_line(arguments: list[object], words: list[str]) -> None:
    refused(run("meanfield", *arguments), *words)
